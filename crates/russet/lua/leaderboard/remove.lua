-- Takes a member off the board.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] member: text
-- returns: {"removed", 1 or 0, nil} | {"late", server_ms, nil} | {"over", server_ms, nil}
-- refuses: never writes a board of a period that is not current or has ended
local refused = refusal(false)
if refused then return refused end
local entry = entry_of(ARGV[6])

return {'removed', entry and cut({entry}) or 0, false}
