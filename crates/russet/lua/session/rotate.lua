-- Gives a session another id and another identity; its attributes and its deadlines stay, and the old id is unknown at once.
-- What stands under it has ended.
-- KEYS: record: hash, book: hash, record of the global one: hash, due: zset, users: zset, as lib/session names them
-- KEYS[9] its new record: hash
-- ARGV[1] session: id   ARGV[2] global session: id, or -   ARGV[3] its new id: id   ARGV[4] identity: JSON   ARGV[5] its signature: text
-- returns: {"done", now, its fields} | {why it is not valid, now, {}}
-- refuses: writes nothing when it is not valid
local done = redis.call('HGETALL', KEYS[9])
if #done > 0 then
  -- An answer that was lost is asked for again.
  return {value_of(done, 'identity') == ARGV[4] and 'done' or 'taken', now, done}
end
local wrong = fault()
if wrong then return {wrong, now, {}} end
local old = member_of(head.user, head.number, ARGV[1], ARGV[2])
local under, gone = {}, {}
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 4) == 'app:' then
    local id, number = string.match(fields[i + 1], '^(%S+) (%d+)')
    under[#under + 1] = fields[i]
    if id then gone[#gone + 1] = member_of(head.user, tonumber(number), id, ARGV[1]) end
  end
end

head.number = redis.call('HINCRBY', book, 'numbers', 1)
redis.call('RENAME', record, KEYS[9])
redis.call('HSET', KEYS[9], 'head', head_text(head), 'identity', ARGV[4], 'signature', ARGV[5])
if #under > 0 then redis.call('HDEL', KEYS[9], unpack(under)) end
local member = member_of(head.user, head.number, ARGV[3], ARGV[2])
redis.call('ZREM', due, old)
for _, member_under in ipairs(gone) do redis.call('ZADD', due, 0, member_under) end
redis.call('ZADD', due, head.idle, member)
if parent then
  redis.call('HSET', global, 'app:' .. head.app, string.format('%s %d', ARGV[3], head.number))
else
  redis.call('ZREM', users, old)
  redis.call('ZADD', users, 0, member)
end
return {'done', now, redis.call('HGETALL', KEYS[9])}
