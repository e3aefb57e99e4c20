-- Forgets events that were heard.
-- KEYS: events: zset, ended: hash, as lib/session names them
-- ARGV: their ids
-- returns: 1
-- refuses: nothing

redis.call('ZREM', events, unpack(ARGV))
redis.call('HDEL', ended, unpack(ARGV))
return 1
