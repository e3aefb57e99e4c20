-- Gives back what a claimant was given in answers that it never got: its claims that it does not know. No attempt counts.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] claimant: id   and on: the claims that it knows
-- returns: how many tasks are ready again
-- refuses: touches no claim of others; looks at the first 1,000 claims, of 100 tasks at most
local known, unknown = {}, {}
for i = 2, #ARGV do known[ARGV[i]] = true end
for _, lease in ipairs(redis.call('ZRANGE', leases, 0, 999)) do
  local claim, claimant = string.match(lease, '^(%d+) (%S+)$')
  if claimant == ARGV[1] and not known[claim] then
    unknown[lease] = claim
  end
end

local back = 0
for lease, claim in pairs(unknown) do
  local ids = tasks_of(claim)
  for i = #ids, 1, -1 do redis.call('LPUSH', ready(ids[i]), ids[i]) end
  redis.call('HDEL', running, claim, unpack(ids))
  redis.call('ZREM', leases, lease)
  back = back + #ids
end
if back > 0 then wake_workers(waiters, back) end
return back
