-- Tells the server's time, so that a series in the same pipeline ends at the right bucket.
-- KEYS: none
-- ARGV: none
-- returns: server_ms
-- refuses: writes nothing
return now_ms()
