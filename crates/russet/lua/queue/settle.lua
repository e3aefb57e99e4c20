-- Settles tasks of which more is to be written than that they are done: failed, given back, cancelled, with a result that is
-- kept, with a unique key, after more than one attempt.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] claimant: id   ARGV[2] cancelled are kept: ms   ARGV[3] outcomes: most   ARGV[4] outcomes: most bytes
-- ARGV[5] and on, six for each: id, claim, verdict, number, unique key or -, text; the verdicts being a acknowledged (attempt),
--   k acknowledged and its result kept (ms), r retry (delay in ms), d dead, f released, c cancelled
-- returns: {place of each whose lease is lost, …}
-- refuses: settles nothing whose lease is another's
local now = now_ms()
local ids = {}
for i = 5, #ARGV, 6 do ids[#ids + 1] = ARGV[i] end
local held = redis.call('HMGET', running, unpack(ids))
local said = redis.call('HMGET', meta, 'completed', 'failed', 'retrying', 'watched', 'bytes', 'once', 'progress')
local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
local earliest = first[1] and tonumber(first[2]) or math.huge
local lost, current, counts = {}, {}, {}
for i = 1, #ids do
  local claim = ARGV[i * 6]
  if held[i] == claim then
    current[#current + 1], counts[claim] = i, (counts[claim] or 0) + 1
  else
    lost[#lost + 1] = i
  end
end
if #current == 0 then return lost end

local settled, done, failed, retried, released, is_earlier = {}, {}, 0, 0, 0, false
for _, i in ipairs(current) do
  local id, verdict, number, unique, text = ids[i], unpack(ARGV, 6 * i + 1, 6 * i + 4)
  settled[#settled + 1] = id
  if verdict == 'a' or verdict == 'k' then
    done[#done + 1] = id
    if verdict == 'k' then keep_outcome(id, now, 'completed', text, number) end
    if unique ~= '-' then free_unique(id, unique) end
    over[id] = 'completed'
  elseif verdict == 'f' then
    redis.call('LPUSH', ready(id), id)
    released = released + 1
  else
    local record = redis.call('HGET', tasks, id) or ''
    local attempt = attempts_of(record) + 1
    if verdict == 'c' or (verdict == 'r' and redis.call('ZSCORE', cancels, id)) then
      end_cancelled(id, now, record, ARGV[2])
    elseif verdict == 'd' then
      die(id, now, record, attempt, text)
      failed = failed + 1
    else
      redis.call('HSET', tasks, id, with_attempts(record, attempt))
      redis.call('ZADD', scheduled, now + number, 'r' .. id)
      note(id, now, attempt, text)
      failed, retried = failed + 1, retried + 1
      if now + number < earliest then earliest, is_earlier = now + number, true end
    end
  end
end
redis.call('HDEL', running, unpack(settled))
settle_claims(counts, ARGV[1])
if #done > 0 then
  redis.call('HDEL', tasks, unpack(done))
  redis.call('HDEL', errors, unpack(done))
  if said[6] then redis.call('HDEL', once, unpack(done)) end
  if said[7] then redis.call('HDEL', progress, unpack(done)) end
end
local news = {}
local function add(what, before, more)
  if more > 0 then news[#news + 1], news[#news + 2] = what, string.format('%d', (before or 0) + more) end
end
add('completed', said[1], #done)
add('failed', said[2], failed)
add('retrying', said[3], retried)
if kept > 0 then news[#news + 1], news[#news + 2] = 'bytes', bound_outcomes(said[5], ARGV[3], ARGV[4]) end
if #news > 0 then redis.call('HSET', meta, unpack(news)) end
if released > 0 then wake_workers(waiters, released) end
-- The idle ones sleep until what was the first.
if is_earlier then wake_workers(waiters, 1) end
tell_ended(said[4], now)
return lost
