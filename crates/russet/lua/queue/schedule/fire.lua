-- Enqueues the ticks of a recurring task, and writes when it is due next: once, by the first who saw when it was due.
-- KEYS: the queue's, as lib/queue names them, and those of lib/schedule
-- ARGV[1] name: text   ARGV[2] due: ms since 1970, as it was seen   ARGV[3] due next: ms   ARGV[4] last tick: ms
-- ARGV[5] how long ticks are remembered: ms   ARGV[6] unique: key, or nothing
-- ARGV[7] task: record   and on: for each tick its request: id, delay: ms, task: id
-- returns: {1, ids that were enqueued} | {0, {}} somebody was first, or the task is paused, gone or of another version
-- refuses: writes nothing when it is not due as it was seen; enqueues no tick twice, and none beside another with its unique key
local entry = redis.call('HGET', recurring, ARGV[1]) or ''
local due, rest = string.match(entry, '^V1;due=(%d+);last=%d+(.*)$')
if due ~= ARGV[2] then return {0, {}} end
local now = now_ms()
local other = ARGV[6] ~= '' and redis.call('HGET', uniques, ARGV[6])
local is_alone = not (other and redis.call('HEXISTS', tasks, other) == 1)
local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
local ids, records, soon, later, known, ends = {}, {}, {}, {}, {}, {}
local earliest = math.huge
for i = 8, #ARGV, 3 do
  local request, id = ARGV[i], ARGV[i + 2]
  local before = string.match(redis.call('HGET', requests, request) or '', ' (%d+)$')
  local is_new = not (before and tonumber(before) > now) and redis.call('HEXISTS', tasks, id) == 0
  if is_new and is_alone and (ARGV[6] == '' or #ids == 0) then
    ids[#ids + 1] = id
    records[#records + 1], records[#records + 2] = id, ARGV[7]
    known[#known + 1], known[#known + 2] = request, string.format('%s %d', id, now + ARGV[5])
    ends[#ends + 1], ends[#ends + 2] = now + ARGV[5], request
    if ARGV[i + 1] == '0' then
      soon[#soon + 1] = id
    else
      later[#later + 1], later[#later + 2] = now + ARGV[i + 1], id
      earliest = math.min(earliest, now + ARGV[i + 1])
    end
  end
end

redis.call('HSET', recurring, ARGV[1], 'V1;due=' .. ARGV[3] .. ';last=' .. ARGV[4] .. rest)
redis.call('ZADD', ticks, ARGV[3], ARGV[1])
if #ids > 0 then
  redis.call('HSET', tasks, unpack(records))
  redis.call('HSET', requests, unpack(known))
  redis.call('ZADD', remembered, unpack(ends))
  if ARGV[6] ~= '' then redis.call('HSET', uniques, ARGV[6], ids[1]) end
end
if #soon > 0 then
  redis.call('RPUSH', ready(soon[1]), unpack(soon))
  wake_workers(waiters, #soon)
end
if #later > 0 then
  redis.call('ZADD', scheduled, unpack(later))
  if not first[1] or earliest < tonumber(first[2]) then wake_workers(waiters, 1) end
end
return {1, ids}
