-- Puts a recurring task in the place of what was seen, and tells those who wait for its time.
-- KEYS: those of lib/schedule
-- ARGV[1] name: text   ARGV[2] seen: record, or nothing   ARGV[3] new: record   ARGV[4] due: ms since 1970, or 0 when paused
-- ARGV[5] most of a queue: number   ARGV[6] changes: channel
-- returns: 1 it is there | 0 something else stood there | -1 there are too many
-- refuses: writes nothing over what was not seen, and no new one above their number
local stands = redis.call('HGET', recurring, ARGV[1]) or ''
if stands ~= ARGV[2] then return stands == ARGV[3] and 1 or 0 end
if stands == '' and redis.call('HLEN', recurring) >= tonumber(ARGV[5]) then return -1 end

redis.call('HSET', recurring, ARGV[1], ARGV[3])
if ARGV[4] == '0' then
  redis.call('ZREM', ticks, ARGV[1])
else
  redis.call('ZADD', ticks, ARGV[4], ARGV[1])
end
redis.call('PUBLISH', ARGV[6], ARGV[1])
return 1
