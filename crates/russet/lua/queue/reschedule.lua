-- Gives a task that waits another time.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id   ARGV[2] delay: ms   ARGV[3] due: ms since 1970, or 0   ARGV[4] longest list that is searched: tasks
-- returns: "done" | "ready" among too many that are | "running" | "dead" | "ended" | "unknown"
-- refuses: writes nothing unless the task waits; takes none out of a longer list of ready tasks
local id, now = ARGV[1], now_ms()
if redis.call('HEXISTS', tasks, id) == 0 then return redis.call('HEXISTS', outcomes, id) == 1 and 'ended' or 'unknown' end
if redis.call('ZSCORE', dead, id) then return 'dead' end
if redis.call('HEXISTS', running, id) == 1 then return 'running' end
local is_retrying, is_scheduled = redis.call('ZSCORE', scheduled, 'r' .. id), redis.call('ZSCORE', scheduled, id)
local is_ready = not is_retrying and not is_scheduled
local due = math.max(now + ARGV[2], tonumber(ARGV[3]))
if is_ready and due <= now then return 'done' end
if is_ready and redis.call('LLEN', ready(id)) > tonumber(ARGV[4]) then return 'ready' end
local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')

if is_ready then redis.call('LREM', ready(id), 1, id) end
redis.call('ZADD', scheduled, due, is_retrying and 'r' .. id or id)
if not first[1] or due < tonumber(first[2]) then wake_workers(waiters, 1) end
return 'done'
