-- Sets a member's score, trims the board and tells where the member stands.
-- KEYS[1] scores: zset
-- ARGV[1] member: text   ARGV[2] score: number   ARGV[3] size: members to keep, 0 for all
-- returns: rank from 0 | nil when the member fell off the end
-- refuses: nothing; the caller has checked the score

redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
trim(KEYS[1], ARGV[3])
return redis.call('ZREVRANK', KEYS[1], ARGV[1])
