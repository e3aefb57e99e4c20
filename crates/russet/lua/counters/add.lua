-- Adds an amount to a name in the total and in the current minute, hour, day and month.
-- KEYS[1] total: zset   KEYS[2] minute: zset   KEYS[3] hour: zset   KEYS[4] day: zset   KEYS[5] month: zset
-- ARGV[1] name: text   ARGV[2] amount: integer from 1   ARGV[3] minute's start: ms   ARGV[4] minute's end: ms
-- ARGV[5] minute's expiry: ms   ARGV[6] hour's expiry: ms   ARGV[7] day's expiry: ms   ARGV[8] month's expiry: ms
-- returns: {"added", server_ms, {total, minute, hour, day, month}} | {"late", server_ms, {}} | {"full", server_ms, {}}
-- refuses: never writes when the server's time is outside the minute, or when the total would pass 2^53
local now = now_ms()
if now < tonumber(ARGV[3]) or now >= tonumber(ARGV[4]) then
  return {'late', now, {}}
end
local total = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
if total > 9007199254740992 - ARGV[2] then
  return {'full', now, {}}
end
local all_exist = redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4], KEYS[5]) == 4

return {'added', now, {
  tonumber(redis.call('ZINCRBY', KEYS[1], ARGV[2], ARGV[1])),
  count(KEYS[2], ARGV[1], ARGV[2], ARGV[5], all_exist),
  count(KEYS[3], ARGV[1], ARGV[2], ARGV[6], all_exist),
  count(KEYS[4], ARGV[1], ARGV[2], ARGV[7], all_exist),
  count(KEYS[5], ARGV[1], ARGV[2], ARGV[8], all_exist),
}}
