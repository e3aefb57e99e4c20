-- Puts everything that a node has behind it: begins an epoch that no key of it is of.
-- KEYS[1] epoch: string
-- ARGV[1] known: number   ARGV[2] unless newer: 1 or 0   ARGV[3] ttl: ms
-- returns: the epoch from now on
-- refuses: writes nothing when only an epoch that is not newer than the known one is to end, and this one is
local current = tonumber(redis.call('GET', KEYS[1]) or '0')
if ARGV[2] == '1' and current > tonumber(ARGV[1]) then return string.format('%d', current) end
local epoch = string.format('%d', math.max(current + 1, ARGV[1] + 1, now_ms()))

redis.call('SET', KEYS[1], epoch, 'PX', ARGV[3])
return epoch
