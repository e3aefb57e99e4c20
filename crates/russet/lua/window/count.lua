-- Reads the total of a window.
-- KEYS[1] buckets: hash
-- ARGV[1] bucket: ms   ARGV[2] buckets: integer from 1 to 1000
-- returns: total of the window
-- refuses: writes nothing
local _, total = window_now(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))
return total
