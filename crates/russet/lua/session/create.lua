-- Makes a session; of one user or, under a global one, of one application.
-- KEYS[1] record: hash; book: hash, record of the global one: hash, due: zset, users: zset, as lib/session names them
-- KEYS[9] ticket: string, of the application, or the record again
-- ARGV[1] session: id   ARGV[2] global session: id, or -   ARGV[3] user: name   ARGV[4] application: name, or -
-- ARGV[5] identity: JSON   ARGV[6] its signature: text   ARGV[7] created: ms   ARGV[8] ends: ms   ARGV[9] idle timeout: ms
-- ARGV[10] the user may have: integer, or 0   ARGV[11] when there are more: evict | refuse   ARGV[12] address: text
-- ARGV[13] a ticket is asked for: 1 | 0   ARGV[14] how far a clock may be off: ms   ARGV[15...] attributes: fields and values
-- returns: {"made", now, number} | {"taken", now, 0} another stands there | {"clock", now, 0} it is not made now
--   | {"full", now, 0} | {"ended", now, 0} the global one | {"ticket", now, 0} there is no such ticket
-- refuses: all of these write nothing
local before = redis.call('HMGET', KEYS[1], 'identity', 'head')
if before[1] then
  -- An answer that was lost is asked for again.
  local head = read_head(before[2])
  if head and before[1] == ARGV[5] then return {'made', now, head.number} end
  return {'taken', now, 0}
end
if math.abs(now - ARGV[7]) > tonumber(ARGV[14]) then return {'clock', now, 0} end
local parent, replaced
if ARGV[2] ~= '-' then
  local read = redis.call('HMGET', global, 'head', 'app:' .. ARGV[4])
  parent, replaced = read_head(read[1]), read[2]
  if not parent or over(parent) then return {'ended', now, 0} end
end
if ARGV[13] == '1' and redis.call('GET', KEYS[9]) ~= ARGV[4] then return {'ticket', now, 0} end
local evicted, everywhere, last = 0, 0, 0
local most = tonumber(ARGV[10])
if most > 0 then
  evicted, everywhere = marks_of(ARGV[3])
  local members = redis.call('ZRANGE', users, '[' .. ARGV[3] .. ' ', '(' .. ARGV[3] .. '!', 'BYLEX', 'LIMIT', 0, 1000)
  local live = {}
  local deadlines = #members > 0 and redis.call('ZMSCORE', due, unpack(members)) or {}
  for i, member in ipairs(members) do
    local number = tonumber(string.match(member, '^%S+ (%d+)'))
    if number > evicted and number > everywhere and tonumber(deadlines[i] or 0) > now then live[#live + 1] = number end
  end
  if #live >= most then
    if ARGV[11] == 'refuse' then return {'full', now, 0} end
    -- They are numbered in the order in which they began: with the youngest that must go, all before it go.
    last = live[#live - most + 1]
  end
end
local head = {user = ARGV[3], ends = tonumber(ARGV[8]), idle = math.min(now + ARGV[9], tonumber(ARGV[8])), seen = now,
  version = 1, app = ARGV[4]}

if last > 0 then
  redis.call('HSET', book, 'u:' .. ARGV[3], string.format('%d %d', last, everywhere))
  redis.call('ZADD', due, 0, ARGV[3])
end
head.number = redis.call('HINCRBY', book, 'numbers', 1)
redis.call('HSET', KEYS[1], 'head', head_text(head), 'identity', ARGV[5], 'signature', ARGV[6], 'ip', ARGV[12],
  unpack(ARGV, 15))
local member = member_of(head.user, head.number, ARGV[1], ARGV[2])
redis.call('ZADD', due, head.idle, member)
if parent then
  redis.call('HSET', global, 'app:' .. ARGV[4], string.format('%s %d', ARGV[1], head.number))
  local old, number = string.match(replaced or '', '^(%S+) (%d+)')
  if old then redis.call('ZADD', due, 0, member_of(parent.user, tonumber(number), old, ARGV[2])) end
else
  redis.call('ZADD', users, 0, member)
end
if ARGV[13] == '1' then redis.call('DEL', KEYS[9]) end
return {'made', now, head.number}
