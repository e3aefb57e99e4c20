-- Brings back what a worker left that died, or did not renew its lease: the tasks of the claim whose lease ended first.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] cancelled are kept: ms   ARGV[2] outcomes: most   ARGV[3] outcomes: most bytes
-- returns: how many tasks are ready again
-- refuses: touches no claim whose lease has not ended; one claim, of 100 tasks at most, in a call
local now = now_ms()
local lease = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
if not lease[1] or tonumber(lease[2]) > now then return 0 end
local claim = string.match(lease[1], '^%d+')
local orphans = tasks_of(claim)
local said = redis.call('HMGET', meta, 'failed', 'watched', 'bytes')
local back = 0

redis.call('HDEL', running, claim, unpack(orphans))
redis.call('ZREM', leases, lease[1])
-- From the last to the first, so that they stand at the head in their order.
for i = #orphans, 1, -1 do
  local id = orphans[i]
  local record = redis.call('HGET', tasks, id) or ''
  local attempt = attempts_of(record) + 1
  if redis.call('ZSCORE', cancels, id) then
    end_cancelled(id, now, record, ARGV[1])
  elseif attempt >= tonumber(field(record, 'a') or '5') then
    die(id, now, record, attempt, 'the lease ended: its worker died, or did not renew it')
  else
    redis.call('HSET', tasks, id, with_attempts(record, attempt))
    note(id, now, attempt, 'the lease ended: its worker died, or did not renew it')
    redis.call('LPUSH', ready(id), id)
    back = back + 1
  end
end
local news = {'failed', string.format('%d', (said[1] or 0) + #orphans)}
if kept > 0 then news[3], news[4] = 'bytes', bound_outcomes(said[3], ARGV[2], ARGV[3]) end
redis.call('HSET', meta, unpack(news))
if back > 0 then wake_workers(waiters, back) end
tell_ended(said[2], now)
return back
