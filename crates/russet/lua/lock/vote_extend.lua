-- Sets the time that a server's vote holds.
-- KEYS[1] vote: string
-- ARGV[1] owner: id   ARGV[2] time: ms   ARGV[3] whether it may only become longer: 1 or 0
-- returns: 1 it is set | 0 the vote is not this owner's
-- refuses: writes nothing when the vote is not this owner's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local left = redis.call('PTTL', KEYS[1])

redis.call('PEXPIRE', KEYS[1], ARGV[3] == '1' and math.max(left, ARGV[2]) or ARGV[2])
return 1
