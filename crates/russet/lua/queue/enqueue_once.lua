-- Puts tasks of one priority on the queue, all of them or none: ready at once or at a time, for a request or beside no other.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] request: id, or nothing   ARGV[2] how long it is remembered: ms   ARGV[3] unique: key, or nothing
-- ARGV[4] delay: ms   ARGV[5] due: ms since 1970, or 0   ARGV[6] and on: id, record
-- returns: {id, 1} it is there | {id of the first, 0} the request was done before | {id of the other, -1} not unique
-- refuses: writes nothing for a request that was done before, or beside another task with the same unique key
-- The time is asked for where it matters only.
local is_timed = ARGV[1] ~= '' or ARGV[4] ~= '0' or ARGV[5] ~= '0'
local now = is_timed and now_ms() or 0
if ARGV[1] ~= '' then
  local first, ends = string.match(redis.call('HGET', requests, ARGV[1]) or '', '^(%S+) (%d+)$')
  if first and tonumber(ends) > now then return {first, 0} end
end
if ARGV[3] ~= '' then
  local other = redis.call('HGET', uniques, ARGV[3])
  if other and redis.call('HEXISTS', tasks, other) == 1 then return {other, -1} end
end
local due = math.max(now + ARGV[4], tonumber(ARGV[5]))
local first = due > now and redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES') or {}
local ids, places = {}, {}
for i = 6, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  places[#places + 1] = due
  places[#places + 1] = ARGV[i]
end

redis.call('HSET', tasks, unpack(ARGV, 6))
if due > now then
  redis.call('ZADD', scheduled, unpack(places))
  -- The idle ones sleep until what was the first.
  if not first[1] or due < tonumber(first[2]) then wake_workers(waiters, 1) end
else
  redis.call('RPUSH', ready(ids[1]), unpack(ids))
  wake_workers(waiters, #ids)
end
if ARGV[3] ~= '' then redis.call('HSET', uniques, ARGV[3], ids[1]) end
if ARGV[1] ~= '' then
  redis.call('HSET', requests, ARGV[1], string.format('%s %d', ids[1], now + ARGV[2]))
  redis.call('ZADD', remembered, now + ARGV[2], ARGV[1])
end
return {ids[1], 1}
