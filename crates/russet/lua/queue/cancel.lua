-- Cancels a task: at once while it waits; a running one is asked to end.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id   ARGV[2] how long the outcome is kept: ms   ARGV[3] cancels: channel
-- ARGV[4] outcomes: most   ARGV[5] outcomes: most bytes
-- returns: "cancelled" | "asked" it runs | "dead" | "ended" it has | "unknown"
-- refuses: writes nothing unless the task waits or runs
local id, now = ARGV[1], now_ms()
local record = redis.call('HGET', tasks, id)
if not record then return redis.call('HEXISTS', outcomes, id) == 1 and 'ended' or 'unknown' end
if redis.call('ZSCORE', dead, id) then return 'dead' end
local said = redis.call('HMGET', meta, 'watched', 'bytes')
local runs = redis.call('HGET', running, id)
local is_scheduled, is_retrying = redis.call('ZSCORE', scheduled, id), redis.call('ZSCORE', scheduled, 'r' .. id)

if runs then
  redis.call('ZADD', cancels, now, id)
  redis.call('PUBLISH', ARGV[3], id)
  return 'asked'
end
if is_scheduled then
  redis.call('ZREM', scheduled, id)
elseif is_retrying then
  redis.call('ZREM', scheduled, 'r' .. id)
  redis.call('HINCRBY', meta, 'retrying', -1)
else
  -- Its id stays in the list; who claims it finds no record and passes over it.
  redis.call('HINCRBY', meta, 'ghosts', 1)
end
end_cancelled(id, now, record, ARGV[2])
if kept > 0 then redis.call('HSET', meta, 'bytes', bound_outcomes(said[2], ARGV[4], ARGV[5])) end
tell_ended(said[1], now)
return 'cancelled'
