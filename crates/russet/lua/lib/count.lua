-- Adds to a name's count in a bucket; a bucket that this makes gets its expiry.
local function count(bucket, name, amount, expiry)
  local counted = redis.call('ZINCRBY', bucket, amount, name)
  -- Only a name that is new to its bucket can have made the bucket.
  if counted == amount then
    redis.call('PEXPIREAT', bucket, expiry, 'NX')
  end
  return tonumber(counted)
end
