-- Records a caller that waits for somebody else's load.
-- KEYS[1] entry or refresh: string   KEYS[2] waiters: list
-- ARGV[1] waiter: address   ARGV[2] longest lease: ms
-- returns: {"leased", ms left as text} | {"entry", entry} | {"absent"}
-- refuses: writes nothing unless the entry is a lease
local entry = redis.call('GET', KEYS[1])
if not entry then return {'absent'} end
if string.sub(entry, 1, 1) ~= 'L' then return {'entry', entry} end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then left = tonumber(ARGV[2]) end

redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], left + tonumber(ARGV[2]))
return {'leased', string.format('%d', left)}
