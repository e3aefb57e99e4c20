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

if #buried > 0 then
  redis.call('ZREM', dead, unpack(buried))
  redis.call('HDEL', tasks, unpack(buried))
  redis.call('HDEL', errors, unpack(buried))
  redis.call('HDEL', once, unpack(buried))
end
for _, member in ipairs(over) do
  local kind, name = string.sub(member, 1, 1), string.sub(member, 2)
  if kind == 't' then redis.call('HDEL', outcomes, name) else redis.call('HDEL', requests, name) end
end
if #over > 0 then redis.call('ZREM', ended, unpack(over)) end
redis.call('ZREMRANGEBYSCORE', cancels, '-inf', now - 86400000)
redis.call('ZREMRANGEBYSCORE', waiters, '-inf', now)
return {#buried, #over}
