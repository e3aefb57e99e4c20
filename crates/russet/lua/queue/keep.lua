-- Renews the leases of claims, and tells which running tasks are to be cancelled.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] lease: ms   ARGV[2] and on: "<claim> <claimant>"
-- returns: {"lost <claim>" | "cancel <id>", …}
-- refuses: brings back no lease that has been given to others
local now = now_ms()
local there = redis.call('ZMSCORE', leases, unpack(ARGV, 2))
local answer, kept = {}, {}
for i, ends in ipairs(there) do
  if ends then
    kept[#kept + 1] = now + ARGV[1]
    kept[#kept + 1] = ARGV[i + 1]
  else
    answer[#answer + 1] = 'lost ' .. string.match(ARGV[i + 1], '^%d+')
  end
end
local over = {}
for _, id in ipairs(redis.call('ZRANGE', cancels, 0, 99)) do
  if redis.call('HEXISTS', tasks, id) == 1 then
    answer[#answer + 1] = 'cancel ' .. id
  else
    -- It was completed all the same; more of these would hide those that run.
    over[#over + 1] = id
  end
end

if #over > 0 then redis.call('ZREM', cancels, unpack(over)) end
if #kept > 0 then redis.call('ZADD', leases, 'XX', unpack(kept)) end
return answer
