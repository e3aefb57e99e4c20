-- Takes a server's vote back.
-- KEYS[1] vote: string
-- ARGV[1] owner: id
-- returns: 1 it was taken back | 0 it was not this owner's
-- refuses: writes nothing when the vote is not this owner's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end

redis.call('DEL', KEYS[1])
return 1
