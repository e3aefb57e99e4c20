-- Takes the lease of the one who rebuilds, and announces the generation that is to be built.
-- KEYS[1] config: hash   KEYS[2] rebuilder: string
-- ARGV[1] lease: id   ARGV[2] lease time: ms   ARGV[3] version: number   ARGV[4] shape: shards bits hashes
-- ARGV[5] least age of the live generation: ms
-- returns: {"begun", generation} | {"busy"} | {"fresh", ms until it is old enough} | {"foreign"}
-- refuses: writes nothing unless the lease is free, the live generation old and the version known
local version = redis.call('HGET', KEYS[1], 'version')
if version and version ~= ARGV[3] then return {'foreign'} end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {'busy'} end
local now = now_ms()
local live = redis.call('HGET', KEYS[1], 'live')
if live then
  local left = tonumber(string.match(live, '^%d+')) + tonumber(ARGV[5]) - now
  if left > 0 then return {'fresh', string.format('%d', left)} end
end
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or '0')
local generation = string.format('%d', math.max(last + 1, now))

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'last', generation, 'building', generation .. ' ' .. ARGV[4])
return {'begun', generation}
