-- Lists the largest counts of the current bucket, the largest first.
-- KEYS[1] bucket: zset
-- ARGV[1] minute's start: ms   ARGV[2] minute's end: ms   ARGV[3] entries: integer from 1 to 1000
-- returns: {"top", server_ms, {name, count, ...}} | {"late", server_ms, {}}
-- refuses: writes nothing; never reads when the server's time is outside the minute
local now = now_ms()
if now < tonumber(ARGV[1]) or now >= tonumber(ARGV[2]) then
  return {'late', now, {}}
end
return {'top', now, redis.call('ZREVRANGE', KEYS[1], 0, ARGV[3] - 1, 'WITHSCORES')}
