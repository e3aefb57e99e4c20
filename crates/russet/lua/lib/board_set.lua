-- Sets the scores of members, at most 1000 and no one twice, and tells how many had none; of those that had one the entry is
-- given, which their new one replaces. The name of the place that was given last is empty, as no member's is.
local function set(members, entries, new_scores)
  local line, given, gone = {}, {}, {}
  local reached = places and tonumber(redis.call('HGET', places, '') or 0)
  for i, member in ipairs(members) do
    local entry = member
    if places then
      if entries[i] then gone[#gone + 1] = entries[i] end
      reached = reached + 1
      local place = string.format('%016.0f', 9007199254740992 - reached)
      given[#given + 1], given[#given + 2] = member, place
      entry = place .. member
    end
    entries[i] = entry
    line[#line + 1], line[#line + 2] = new_scores[i], entry
  end
  if #gone > 0 then redis.call('ZREM', scores, unpack(gone)) end
  if places then redis.call('HSET', places, '', string.format('%d', reached), unpack(given)) end
  local added = redis.call('ZADD', scores, unpack(line))
  if ends > 0 then
    redis.call('PEXPIREAT', scores, ends, 'NX')
    if places then redis.call('PEXPIREAT', places, ends, 'NX') end
  end
  return added - #gone
end
