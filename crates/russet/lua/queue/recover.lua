-- Gives back what a claimant was given in answers that it never got: its claims that it does not know. No attempt counts.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] claimant: id   and on: the claims that it knows
-- returns: how many tasks are ready again
-- refuses: touches no claim of others; looks at the first 1,000 claims and at 1,000 tasks of each
local known, unknown = {}, {}
for i = 2, #ARGV do known[ARGV[i]] = true end
for _, lease in ipairs(redis.call('ZRANGE', leases, 0, 999)) do
  local claim, claimant = string.match(lease, '^(%d+) (%S+)$')
  if claimant == ARGV[1] and not known[claim] then
    unknown[lease] = redis.call('ZRANGE', running, claim, claim, 'BYSCORE', 'LIMIT', 0, 1000)
  end
end

local back = 0
for lease, ids in pairs(unknown) do
  for i = #ids, 1, -1 do redis.call('LPUSH', ready(ids[i]), ids[i]) end
  if #ids > 0 then redis.call('ZREM', running, unpack(ids)) end
  redis.call('ZREM', leases, lease)
  back = back + #ids
end
if back > 0 then wake_workers(back) end
return back
