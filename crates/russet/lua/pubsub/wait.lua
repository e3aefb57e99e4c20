-- Records a subscriber that waits for a message, unless there is one.
-- KEYS[1] log: stream   KEYS[2] waiters: hash
-- ARGV[1] group: name   ARGV[2] consumer: id   ARGV[3] waiter: address   ARGV[4] longest wait: ms
-- returns: 1 it waits | 0 there is something to look at: a message, or no topic or group any more
-- refuses: writes nothing unless it waits
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local position
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = named(group)
  if fields.name == ARGV[1] then position = fields['last-delivered-id'] end
end
if not position or #redis.call('XRANGE', KEYS[1], '(' .. position, '+', 'COUNT', 1) > 0 then return 0 end

redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
