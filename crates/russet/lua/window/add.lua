-- Adds to the newest bucket of a window.
-- KEYS[1] buckets: hash
-- ARGV[1] amount: integer from 1   ARGV[2] bucket: ms   ARGV[3] buckets: integer from 1 to 1000
-- returns: total of the window | -1 when it would pass 2^53
-- refuses: writes nothing when the total would pass 2^53
local bucket, buckets = tonumber(ARGV[2]), tonumber(ARGV[3])
local newest, total, left, is_new = window_now(KEYS[1], bucket, buckets)
if total > 9007199254740992 - ARGV[1] then return -1 end -- the sum would be rounded to 2^53
total = total + ARGV[1]
local fields = {'total', total}
for _, field in ipairs(left) do
  fields[#fields + 1] = field
  fields[#fields + 1] = 0
end
local field = string.format('%d', newest % buckets)
if is_new then -- the field of the bucket may be there twice: the last one counts
  fields[#fields + 1] = 'last'
  fields[#fields + 1] = newest
  fields[#fields + 1] = field
  fields[#fields + 1] = ARGV[1]
end

redis.call('HSET', KEYS[1], unpack(fields))
if is_new then
  redis.call('PEXPIREAT', KEYS[1], (newest + buckets) * bucket)
else
  redis.call('HINCRBY', KEYS[1], field, ARGV[1])
end
return total
