-- Ends a session: takes it out of everything, tells who listens, and writes it down. What stands under it ends soon after.
-- KEYS: all, as lib/session names them: record: hash, book: hash, global: hash, due: zset, users: zset, events: zset,
--   ended: hash, log: stream
-- ARGV[1] session: id   ARGV[2] global session: id, or -   ARGV[3] why: word, or "due": only if it is over
-- ARGV[4] how it stands in the indexes: text, when that is known, or nothing   ARGV[5] most events that wait: integer
-- ARGV[6] the log keeps: integer   ARGV[7] its user: name, or - for anybody
-- returns: {"done", why} | {"live", ""} it is not over | {"unknown", ""}
-- refuses: writes nothing when it is not over
local fields = redis.call('HGETALL', record)
local head = read_head(value_of(fields, 'head'))
if head and ARGV[7] ~= '-' and ARGV[7] ~= head.user then return {'unknown', ''} end
local member = head and member_of(head.user, head.number, ARGV[1], ARGV[2]) or ARGV[4]
local why = head and (ARGV[2] == '-' and over(head) or past(head))
if head and not why then
  why = ARGV[3]
  if why == 'due' then
    -- What has ended or replaced its global one has put it at 0.
    if redis.call('ZSCORE', due, member) ~= '0' then return {'live', ''} end
    why = 'with_global'
  end
end

redis.call('ZREM', users, member)
redis.call('ZREM', due, member)
if head then
  redis.call('DEL', record)
  if ARGV[2] ~= '-' and redis.call('HGET', global, 'app:' .. head.app) == string.format('%s %d', ARGV[1], head.number) then
    redis.call('HDEL', global, 'app:' .. head.app)
  end
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 4) == 'app:' then
      local id, number = string.match(fields[i + 1], '^(%S+) (%d+)')
      if id then redis.call('ZADD', due, 0, member_of(head.user, tonumber(number), id, ARGV[1])) end
    end
  end
  if redis.call('HEXISTS', book, 'heard') == 1 then
    redis.call('ZADD', events, now, ARGV[1])
    redis.call('HSET', ended, ARGV[1], cjson.encode({why = why, at = now, parent = ARGV[2], fields = fields}))
    if redis.call('ZCARD', events) > tonumber(ARGV[5]) then
      local lost = redis.call('ZPOPMIN', events)
      redis.call('HDEL', ended, lost[1])
      redis.call('HINCRBY', book, 'unheard', 1)
    end
  end
  redis.call('XADD', log, 'MAXLEN', '~', ARGV[6], '*', 'v', '1', 'id', ARGV[1], 'user', head.user, 'app', head.app,
    'why', why, 'seen', string.format('%d', head.seen))
end
return {head and 'done' or 'unknown', why or ''}
