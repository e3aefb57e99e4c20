-- How many tasks are in which state.
-- KEYS: the queue's, as lib/queue names them
-- returns: {scheduled, ready, running, retrying, dead, completed ever, failed attempts ever, 1 paused | 0, kept outcomes}
-- refuses: nothing
local said = redis.call('HMGET', meta, 'retrying', 'ghosts', 'completed', 'failed', 'paused')
for i = 1, 5 do said[i] = tonumber(said[i] or '0') end
local waiting = -said[2]
for i = 15, 24 do waiting = waiting + redis.call('LLEN', KEYS[i]) end
local later = redis.call('ZCARD', scheduled) - said[1]
return {later, waiting, math.max(redis.call('ZCARD', running) - 1, 0), said[1], redis.call('ZCARD', dead), said[3], said[4], said[5],
  redis.call('HLEN', outcomes)}
