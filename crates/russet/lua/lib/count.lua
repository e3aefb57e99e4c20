-- Adds to a name's count in a bucket and gives the bucket its expiry when this makes it. Whoever calls has asked
-- before whether all buckets of the call exist: one command then, instead of one a bucket for each new name.
local function count(bucket, name, amount, expiry, all_exist)
  local counted = redis.call('ZINCRBY', bucket, amount, name)
  if not all_exist and counted == amount then
    redis.call('PEXPIREAT', bucket, expiry, 'NX')
  end
  return tonumber(counted)
end
