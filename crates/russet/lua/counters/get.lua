-- Reads a name in the total and in the current minute, hour, day and month.
-- KEYS[1] total: zset   KEYS[2] minute: zset   KEYS[3] hour: zset   KEYS[4] day: zset   KEYS[5] month: zset
-- ARGV[1] name: text   ARGV[2] minute's start: ms   ARGV[3] minute's end: ms
-- returns: {"counts", server_ms, {total, minute, hour, day, month}} | {"late", server_ms, {}}
-- refuses: writes nothing; never reads when the server's time is outside the minute
local now = now_ms()
if now < tonumber(ARGV[2]) or now >= tonumber(ARGV[3]) then
  return {'late', now, {}}
end
local counts = {}
for i, key in ipairs({KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]}) do
  counts[i] = tonumber(redis.call('ZSCORE', key, ARGV[1]) or 0)
end
return {'counts', now, counts}
