-- Counts the members.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them
-- returns: {"count", how many, nil} | {"late", server_ms, nil}
-- refuses: writes nothing; never reads a board of a period that is not current
return refusal(false) or {'count', redis.call('ZCARD', scores), false}
