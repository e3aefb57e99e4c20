-- What stands in running: for each task its claim; and for each claim how many of its tasks still run, and the ids of all that
-- it was given, as one text.
-- The tasks of a claim that still run, in their order.
local function tasks_of(claim)
  local ids, still = {}, {}
  for id in string.gmatch(string.match(redis.call('HGET', running, claim) or '', '%w*$'), string.rep('%w', 22)) do
    ids[#ids + 1] = id
  end
  for i, other in ipairs(#ids > 0 and redis.call('HMGET', running, unpack(ids)) or {}) do
    if other == claim then still[#still + 1] = ids[i] end
  end
  return still
end
-- What is left of a claim of which so many tasks are settled; nothing when it has ended. The entry as it was read.
local function less(entry, count)
  if not entry then return end
  local before = string.find(entry, ' ', 1, true)
  local left = string.sub(entry, 1, before - 1) - count
  if left > 0 then return left .. string.sub(entry, before) end
end
