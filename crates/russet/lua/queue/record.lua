-- Records the result of a step of a running task, once: who asks again gets the first one.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id   ARGV[2] claim: number   ARGV[3] step: name   ARGV[4] result: text, or nothing to look only
-- returns: {"recorded", result} | {"nothing"} | {"lost"} the lease is another's
-- refuses: writes nothing unless the lease is current and the step has no result
if redis.call('HGET', running, ARGV[1]) ~= ARGV[2] then return {'lost'} end
local steps = redis.call('HGET', once, ARGV[1])
local all = steps and cjson.decode(steps) or {}
if all[ARGV[3]] then return {'recorded', all[ARGV[3]]} end
if not ARGV[4] then return {'nothing'} end
all[ARGV[3]] = ARGV[4]
local encoded = cjson.encode(all)

redis.call('HSET', once, ARGV[1], encoded)
redis.call('HSET', meta, 'once', '1')
return {'recorded', ARGV[4]}
