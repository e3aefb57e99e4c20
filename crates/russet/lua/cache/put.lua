-- Stores a value unless a strict write is under way; a running load can no longer store its own.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] refresh: string
-- ARGV[1] value: entry    ARGV[2] ttl: ms   ARGV[3] fresh: ms, or 0   ARGV[4] send the entry along: 1, or 0
-- ARGV[5] changes: channel   ARGV[6] key: text
-- returns: 1 stored | 0 a strict write is under way
-- refuses: writes nothing over the guard of a strict write
local first = redis.call('GETRANGE', KEYS[1], 0, 0)
if first == 'W' then return 0 end
local entry = stamped(ARGV[1], ARGV[3])

local refreshed = redis.call('DEL', KEYS[3]) == 1
redis.call('SET', KEYS[1], entry, 'PX', ARGV[2])
if first == 'L' or refreshed then wake(KEYS[2], ARGV[4] == '1' and entry or '') end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
