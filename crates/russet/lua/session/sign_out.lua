-- Ends all sessions of a user in one step, however many they are; they are taken out of the indexes by and by.
-- KEYS[1] record of one that stays: hash, or of none; book: hash, due: zset, users: zset, as lib/session names them
-- ARGV[1] user: name   ARGV[2] one that stays: id, or -
-- returns: {"done"} | {why the one that stays is not valid}: the others have ended all the same
-- refuses: nothing
local evicted = marks_of(ARGV[1])
local head = ARGV[2] ~= '-' and read_head(redis.call('HGET', KEYS[1], 'head')) or nil
local wrong = ARGV[2] ~= '-' and (not head and 'unknown' or over(head))
local last = tonumber(redis.call('HGET', book, 'numbers') or 0)

redis.call('HSET', book, 'u:' .. ARGV[1], string.format('%d %d', evicted, last))
redis.call('ZADD', due, 0, ARGV[1])
if head and not wrong then
  local old = member_of(head.user, head.number, ARGV[2], '-')
  head.number = redis.call('HINCRBY', book, 'numbers', 1)
  local member = member_of(head.user, head.number, ARGV[2], '-')
  redis.call('HSET', KEYS[1], 'head', head_text(head))
  redis.call('ZREM', users, old)
  redis.call('ZREM', due, old)
  redis.call('ZADD', users, 0, member)
  redis.call('ZADD', due, head.idle, member)
end
return {wrong or 'done'}
