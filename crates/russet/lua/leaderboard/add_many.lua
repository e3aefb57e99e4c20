-- Sets the scores of many members and trims the board.
-- KEYS[1] scores: zset
-- ARGV[1] size: members to keep, 0 for all   ARGV[2...] score, member, ...: 1 to 1000 pairs
-- returns: how many of the members were not on the board
-- refuses: nothing; the caller has checked the scores

local new = redis.call('ZADD', KEYS[1], unpack(ARGV, 2))
trim(KEYS[1], ARGV[1])
return new
