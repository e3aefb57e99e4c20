-- Takes entries, at most 1000, off a board, and tells how many; with the last one the places end.
local function cut(entries)
  if #entries == 0 then return 0 end
  local cut_off = redis.call('ZREM', scores, unpack(entries))
  if places then
    for i, entry in ipairs(entries) do entries[i] = name_of(entry) end
    redis.call('HDEL', places, unpack(entries))
    if redis.call('EXISTS', scores) == 0 then redis.call('DEL', places) end
  end
  return cut_off
end
-- Removes the members below the best so many, at most 1000 at a time, and tells how many.
local function trim(best)
  if not places then return redis.call('ZREMRANGEBYRANK', scores, -best - 1000, -best - 1) end
  return cut(redis.call('ZREVRANGE', scores, best, best + 999))
end
