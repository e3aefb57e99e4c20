-- Says that so many tasks of each of these claims of a claimant are settled; a claim ends with its last one.
local function settle_claims(counts, claimant)
  for claim, count in pairs(counts) do
    local left = less(redis.call('HGET', running, claim), count)
    if left then
      redis.call('HSET', running, claim, left)
    else
      redis.call('HDEL', running, claim)
      redis.call('ZREM', leases, claim .. ' ' .. claimant)
    end
  end
end
