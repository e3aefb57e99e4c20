-- Lists a member with its neighbours, the best first.
-- KEYS[1] scores: zset
-- ARGV[1] member: text   ARGV[2] neighbours on each side: integer from 0 to 499
-- returns: {rank of the first from 0, {member, score, ...}} | {0, {}} when the member is not on the board
-- refuses: writes nothing
local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
if not rank then
  return {0, {}}
end
local first = math.max(rank - ARGV[2], 0)
return {first, redis.call('ZREVRANGE', KEYS[1], first, rank + ARGV[2], 'WITHSCORES')}
