-- Tells a member's score and rank.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] member: text
-- returns: {"standing", score, rank from 0}, rank nil when the member is not on the board | {"late", server_ms, nil}
-- refuses: writes nothing; never reads a board of a period that is not current
local refused = refusal(false)
if refused then return refused end
local entry = entry_of(ARGV[6])
return {'standing', entry and redis.call('ZSCORE', scores, entry) or 0, rank_of(entry)}
