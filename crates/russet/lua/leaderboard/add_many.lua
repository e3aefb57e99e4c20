-- Sets the scores of many members, or adds to them, and trims the board.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] how: set or sum; then score, member, ...: 1 to 1000 pairs, no member twice
-- returns: {"added", how many of the members were not on the board, nil} | {"out_of_range", number of the pair from 0, nil}
--   | {"late", server_ms, nil} | {"over", server_ms, nil}
-- refuses: never writes when a score would pass 2^53 in either direction, nor a board of a period that is not current or has ended
local refused = refusal(false)
if refused then return refused end
local names, asked, most = {}, {}, 9007199254740992
for at = 7, #ARGV, 2 do names[#names + 1], asked[#asked + 1] = ARGV[at + 1], ARGV[at] end
local found = places and redis.call('HMGET', places, unpack(names)) or names
for i, name in ipairs(names) do
  if places then found[i] = found[i] and found[i] .. name or '' end
end
-- Only where the old score decides anything; no entry is empty.
local before = (places or ARGV[6] == 'sum') and redis.call('ZMSCORE', scores, unpack(found)) or {}
local members, entries, sums = {}, {}, {}
for i, name in ipairs(names) do
  local score, difference = tonumber(before[i] or 0), tonumber(asked[i])
  local sum = asked[i]
  if ARGV[6] == 'sum' then
    if score > most - math.max(difference, 0) or score < -most - math.min(difference, 0) then
      return {'out_of_range', i - 1, false}
    end
    sum = string.format('%.17g', score + difference)
  end
  -- Who has this score already has reached it before.
  if not (places and before[i] and score == tonumber(sum)) then
    members[#members + 1], sums[#sums + 1] = name, sum
    entries[#members] = before[i] and found[i]
  end
end

local added = #members > 0 and set(members, entries, sums) or 0
if size > 0 then trim(size) end
return {'added', added, false}
