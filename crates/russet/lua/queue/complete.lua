-- Completes a running task and writes its effects, in one step.
-- KEYS: the queue's, as lib/queue names them, then the hashes of the effects
-- ARGV[1] task: id   ARGV[2] fence: number   ARGV[3] claimant: id   ARGV[4] outcome kept: ms   ARGV[5] name, attempt and result: text
-- ARGV[6] unique: key, or -   ARGV[7] outcomes: most   ARGV[8] outcomes: most bytes
-- and on, four for each effect: "put" | "add" | "remove", number of its key, field, value
-- returns: "done" | "lost" the lease is another's | "number <field>" what stands there cannot be added to
-- refuses: writes nothing unless the lease is current and every sum is a whole number below 2^53
local id, fence, now = ARGV[1], ARGV[2], now_ms()
if redis.call('HGET', running, id) ~= fence then return 'lost' end
local said = redis.call('HMGET', meta, 'watched', 'bytes')
local sums = {}
for i = 9, #ARGV, 4 do
  -- Read all the same for the others: a key of another type is refused before anything is written.
  local old, place = redis.call('HGET', KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2]), ARGV[i + 1] .. ' ' .. ARGV[i + 2]
  if ARGV[i] == 'add' then
    old = sums[place] or old or '0'
    sums[place] = string.match(old, '^-?%d+$') and tonumber(old) + ARGV[i + 3]
    if not sums[place] or math.abs(sums[place]) > 9007199254740991 then return 'number ' .. ARGV[i + 2] end
    sums[place] = string.format('%d', sums[place])
  else
    sums[place] = ARGV[i] == 'put' and ARGV[i + 3] or '0'
  end
end

for i = 9, #ARGV, 4 do
  local key, effect_field, value = KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3]
  if ARGV[i] == 'put' then
    redis.call('HSET', key, effect_field, value)
  elseif ARGV[i] == 'add' then
    redis.call('HINCRBY', key, effect_field, value)
  else
    redis.call('HDEL', key, effect_field)
  end
end
redis.call('HDEL', running, id)
redis.call('HDEL', tasks, id)
redis.call('HDEL', errors, id)
redis.call('HDEL', once, id)
redis.call('HDEL', progress, id)
if ARGV[6] ~= '-' then free_unique(id, ARGV[6]) end
redis.call('HINCRBY', meta, 'completed', 1)
settle_claims({[fence] = 1}, ARGV[3])
keep_outcome(id, now, 'completed', ARGV[5], ARGV[4])
if kept > 0 then redis.call('HSET', meta, 'bytes', bound_outcomes(said[2], ARGV[7], ARGV[8])) end
over[id] = 'completed'
tell_ended(said[1], now)
return 'done'
