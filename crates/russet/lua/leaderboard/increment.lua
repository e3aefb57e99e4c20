-- Adds to a member's score, trims the board and tells where the member stands.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] member: text   ARGV[7] difference: number
-- returns: {"standing", score, rank from 0 | nil when the member fell off the end} | {"out_of_range", score, nil}
--   | {"late", server_ms, nil} | {"over", server_ms, nil}
-- refuses: never writes when the score would pass 2^53 in either direction, nor a board of a period that is not current or has ended
local refused = refusal(false)
if refused then return refused end
local member, entries = ARGV[6], {entry_of(ARGV[6])}
local score = entries[1] and redis.call('ZSCORE', scores, entries[1]) or '0'
local most, difference = 9007199254740992, tonumber(ARGV[7])
-- By subtraction: 2^53 + 1 would be rounded to 2^53 and pass.
if tonumber(score) > most - math.max(difference, 0) or tonumber(score) < -most - math.min(difference, 0) then
  return {'out_of_range', score, false}
end
local sum = string.format('%.17g', score + difference)
local is_there = places and entries[1] and tonumber(sum) == tonumber(score)

if not is_there then set({member}, entries, {sum}) end
if size > 0 then trim(size) end
return {'standing', sum, rank_of(entries[1])}
