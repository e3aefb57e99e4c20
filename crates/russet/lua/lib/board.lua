-- What the scripts of a board share: its keys, in the order in which src/leaderboard/scripts.rs gives them, its settings, and how
-- members stand in it. An entry is a member's name; where equal scores stand in the order in which they were reached, it is
-- the member's place in front of its name: 16 digits, a smaller number for each score that is reached.
-- Settings: the tie rule, redis, shared or first; the size, 0 for all; of the board of a period: from when and to when it is
-- current, 0 when that does not matter, and when it ends, 0 when it does not; all in ms.
local scores, places = KEYS[1], KEYS[2]
local ties, size, from, to, ends = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Why the board cannot be asked, if so; with what stands for an answer.
local function refusal(nothing)
  if ends == 0 then return end
  local now = now_ms()
  if to > 0 and (now < from or now >= to) then return {'late', now, nothing} end
  if now >= ends then return {'over', now, nothing} end
end
local function entry_of(member)
  if not places then return member end
  local place = redis.call('HGET', places, member)
  return place and place .. member
end
local function name_of(entry)
  return places and string.sub(entry, 17) or entry
end
-- How many stand above, by the tie rule.
local function rank_of(entry)
  if not entry then return false end
  if ties ~= 'shared' then return redis.call('ZREVRANK', scores, entry) end
  local score = redis.call('ZSCORE', scores, entry)
  return score and redis.call('ZCOUNT', scores, '(' .. score, '+inf')
end
-- The lines of a board from one position to another, and how many stand above the first.
local function lines(first, last)
  local found, above = redis.call('ZREVRANGE', scores, first, last, 'WITHSCORES'), first
  if ties == 'shared' and #found > 0 then above = redis.call('ZCOUNT', scores, '(' .. found[2], '+inf') end
  for at = 1, #found, 2 do found[at] = name_of(found[at]) end
  return {'lines', first, {above, found}}
end
