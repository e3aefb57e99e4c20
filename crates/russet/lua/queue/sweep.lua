-- Ends what was kept long enough: dead tasks, outcomes, requests, requests to cancel; a bounded number of each.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] dead task: id, or nothing for all that are old   ARGV[2] dead are kept: ms
-- returns: {dead tasks ended, others ended}
-- refuses: deletes no task that is not dead
local now = now_ms()
local buried = {}
if ARGV[1] == '' then
  buried = redis.call('ZRANGE', dead, '-inf', now - ARGV[2], 'BYSCORE', 'LIMIT', 0, 100)
elseif redis.call('ZSCORE', dead, ARGV[1]) then
  buried = {ARGV[1]}
end
local over = redis.call('ZRANGE', ended, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
local forgotten = redis.call('ZRANGE', remembered, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
local said = redis.call('HMGET', meta, 'bytes', 'watched')
local bytes = tonumber(said[1] or '0')
if #over > 0 then
  for _, outcome in ipairs(redis.call('HMGET', outcomes, unpack(over))) do bytes = bytes - #(outcome or '') end
end

if #buried > 0 then
  redis.call('ZREM', dead, unpack(buried))
  redis.call('HDEL', tasks, unpack(buried))
  redis.call('HDEL', errors, unpack(buried))
  redis.call('HDEL', once, unpack(buried))
  redis.call('HDEL', progress, unpack(buried))
end
if #over > 0 then
  redis.call('ZREM', ended, unpack(over))
  redis.call('HDEL', outcomes, unpack(over))
  redis.call('HSET', meta, 'bytes', string.format('%d', math.max(bytes, 0)))
end
if #forgotten > 0 then
  redis.call('ZREM', remembered, unpack(forgotten))
  redis.call('HDEL', requests, unpack(forgotten))
end
-- Nobody waits any more for tasks that have not ended.
if said[2] and tonumber(said[2]) < now then
  redis.call('DEL', watchers)
  redis.call('HDEL', meta, 'watched')
end
redis.call('ZREMRANGEBYSCORE', cancels, '-inf', now - 86400000)
redis.call('ZREMRANGEBYSCORE', waiters, '-inf', now)
return {#buried, math.max(#over, #forgotten)}
