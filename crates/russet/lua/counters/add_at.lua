-- Adds an amount to a name in the total and in the buckets of a given time, as far as these are still kept.
-- KEYS[1] total: zset   KEYS[2] minute: zset   KEYS[3] hour: zset   KEYS[4] day: zset   KEYS[5] month: zset
-- ARGV[1] name: text   ARGV[2] amount: integer from 1
-- ARGV[3] minute's expiry: ms   ARGV[4] hour's expiry: ms   ARGV[5] day's expiry: ms   ARGV[6] month's expiry: ms
-- returns: {"added", server_ms, {total, minute, hour, day, month}}, 0 for a bucket left out | {"full", server_ms, {}}
-- refuses: never writes when the total would pass 2^53
local now = now_ms()
local total = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
if total > 9007199254740992 - ARGV[2] then
  return {'full', now, {}}
end
local all_exist = redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4], KEYS[5]) == 4
local function count_if_kept(bucket, expiry)
  return tonumber(expiry) > now and count(bucket, ARGV[1], ARGV[2], expiry, all_exist) or 0
end

return {'added', now, {
  tonumber(redis.call('ZINCRBY', KEYS[1], ARGV[2], ARGV[1])),
  count_if_kept(KEYS[2], ARGV[3]),
  count_if_kept(KEYS[3], ARGV[4]),
  count_if_kept(KEYS[4], ARGV[5]),
  count_if_kept(KEYS[5], ARGV[6]),
}}
