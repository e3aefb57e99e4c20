-- Takes the right to load an entry anew while it still stands there.
-- KEYS[1] entry: string   KEYS[2] refresh: string
-- ARGV[1] lease: entry    ARGV[2] lease time: ms   ARGV[3] how long before its end: ms
-- returns: {"ours"} | {"taken"} | {"fresh"} it was done meanwhile | {"absent"} nothing that ends in that way
-- refuses: writes nothing unless the entry is old enough and nobody has the lease
local ends = string.match(redis.call('GETRANGE', KEYS[1], 0, 63), '^V1[^ ]*;fresh=(%d+)')
if not ends then return {'absent'} end
if now_ms() + ARGV[3] < tonumber(ends) then return {'fresh'} end
local there = redis.call('GET', KEYS[2])
if there then return {there == ARGV[1] and 'ours' or 'taken'} end

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'ours'}
