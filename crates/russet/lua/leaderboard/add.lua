-- Sets a member's score, trims the board and tells where the member stands.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] member: text   ARGV[7] score: number
-- returns: {"standing", score, rank from 0 | nil when the member fell off the end} | {"late", server_ms, nil} | {"over", server_ms, nil}
-- refuses: never writes a board of a period that is not current or has ended; the caller has checked the score
local refused = refusal(false)
if refused then return refused end
local member, score = ARGV[6], ARGV[7]
local entries = {entry_of(member)}
-- Who has this score already has reached it before.
local before = places and entries[1] and tonumber(redis.call('ZSCORE', scores, entries[1]))

if before ~= tonumber(score) then set({member}, entries, {score}) end
if size > 0 then trim(size) end
return {'standing', score, rank_of(entries[1])}
