-- Adds to a member's score, trims the board and tells where the member stands.
-- KEYS[1] scores: zset
-- ARGV[1] member: text   ARGV[2] difference: number   ARGV[3] size: members to keep, 0 for all
-- returns: {"standing", score, rank from 0 | nil when the member fell off the end} | {"out_of_range", score, nil}
-- refuses: never writes when the score would pass 2^53 in either direction
local score = redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0'
local most, difference = 9007199254740992, tonumber(ARGV[2])
-- By subtraction: 2^53 + 1 would be rounded to 2^53 and pass.
if tonumber(score) > most - math.max(difference, 0) or tonumber(score) < -most - math.min(difference, 0) then
  return {'out_of_range', score, false}
end

score = redis.call('ZINCRBY', KEYS[1], ARGV[2], ARGV[1])
trim(KEYS[1], ARGV[3])
return {'standing', score, redis.call('ZREVRANK', KEYS[1], ARGV[1])}
