-- Removes the members below the best so many, at most 1000 at a time.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] members to keep: integer
-- returns: {"removed", how many, nil} | {"late", server_ms, nil} | {"over", server_ms, nil}
-- refuses: never writes a board of a period that is not current or has ended
local refused = refusal(false)
if refused then return refused end

return {'removed', trim(tonumber(ARGV[6])), false}
