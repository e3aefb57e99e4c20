-- Reads a session and touches it, unless that was done a moment ago; with it the global one above it.
-- KEYS: record: hash, book: hash, record of the global one: hash, due: zset, as lib/session names them
-- ARGV[1] session: id   ARGV[2] global session: id, or -   ARGV[3] idle timeout: ms   ARGV[4] slack: ms, by which a touch must
--   move the deadline
-- returns: {"live", now, its fields, those of the global one} | {why it is not valid, now, {}, {}}
-- refuses: writes nothing when it is not valid
local wrong = fault()
if wrong then return {wrong, now, {}, {}} end
local function touched(one)
  local idle = math.min(now + ARGV[3], one.ends)
  if idle - one.idle <= tonumber(ARGV[4]) then return false end
  one.idle, one.seen = idle, now
  return true
end

if touched(head) then
  redis.call('HSET', record, 'head', head_text(head))
  redis.call('ZADD', due, head.idle, member_of(head.user, head.number, ARGV[1], ARGV[2]))
end
if parent and touched(parent) then
  redis.call('HSET', global, 'head', head_text(parent))
  redis.call('ZADD', due, parent.idle, member_of(parent.user, parent.number, ARGV[2], '-'))
end
return {'live', now, fields, above}
