-- How many tasks are in which state.
-- KEYS: the queue's, as lib/queue names them
-- returns: {{scheduled, ready, running, retrying, dead, completed ever, failed attempts ever, 1 paused | 0, kept outcomes},
--   limit, {"<id> <delay in ms>" of the first of each priority, …}}
-- refuses: nothing
local said = redis.call('HMGET', meta, 'retrying', 'ghosts', 'completed', 'failed', 'paused', 'limit')
for i = 1, 5 do said[i] = tonumber(said[i] or '0') end
local waiting, heads = -said[2], {}
for i = 15, 24 do
  local length = redis.call('LLEN', KEYS[i])
  waiting = waiting + length
  if length > 0 then heads[#heads + 1] = redis.call('LINDEX', KEYS[i], 0) end
end
local first = {}
for i, record in ipairs(#heads > 0 and redis.call('HMGET', tasks, unpack(heads)) or {}) do
  if record then first[#first + 1] = heads[i] .. ' ' .. (field(record, 'd') or '0') end
end
local later = redis.call('ZCARD', scheduled) - said[1]
return {{later, waiting, redis.call('HLEN', running) - redis.call('ZCARD', leases), said[1], redis.call('ZCARD', dead), said[3], said[4], said[5],
  redis.call('HLEN', outcomes)}, said[6] or '', first}
