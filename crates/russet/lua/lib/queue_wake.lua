-- Wakes idle workers, the one that registered last first: it is there. One that nobody hears does not count; on a Cluster,
-- where a node does not know who hears another one, some more are woken.
local function wake_workers(waiters, most)
  local tries = math.min(most, 20) + 4
  while most > 0 and tries > 0 do
    local waiter = redis.call('ZPOPMAX', waiters, 1)[1]
    if not waiter then return end
    local channel, number = string.match(waiter, '^(%S+) (%d+)$')
    if channel and redis.call('PUBLISH', channel, number .. ' ') > 0 then most = most - 1 end
    tries = tries - 1
  end
end
