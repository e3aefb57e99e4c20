-- Brings dead tasks back, with all their attempts before them: one, or the first 100 that died until then.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id, or nothing   ARGV[2] until: ms since 1970, or 0 for the server's time
-- returns: {how many are ready again, the server's time}
-- refuses: writes nothing for a task that is not dead
local now = now_ms()
local until_then = ARGV[2] == '0' and string.format('%d', now) or ARGV[2]
local ids = {}
if ARGV[1] == '' then
  ids = redis.call('ZRANGE', dead, '-inf', until_then, 'BYSCORE', 'LIMIT', 0, 100)
elseif redis.call('ZSCORE', dead, ARGV[1]) then
  ids = {ARGV[1]}
end

for _, id in ipairs(ids) do
  local record = redis.call('HGET', tasks, id) or ''
  redis.call('HSET', tasks, id, with_attempts(record, 0))
  redis.call('HDEL', errors, id)
  redis.call('HDEL', progress, id)
  redis.call('ZREM', cancels, id)
  redis.call('RPUSH', ready(id), id)
end
if #ids > 0 then
  redis.call('ZREM', dead, unpack(ids))
  wake_workers(waiters, #ids)
end
return {#ids, until_then}
