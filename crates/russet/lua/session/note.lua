-- Writes down what is suspicious, and from which address the session was used last.
-- KEYS[1] record: hash   KEYS[2] activity: stream
-- ARGV[1] address that is the last from now on: text, or nothing   ARGV[2] the log keeps: integer   ARGV[3...] fields and values
-- returns: 1
-- refuses: nothing
local is_there = redis.call('EXISTS', KEYS[1]) == 1

if is_there and ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'ip', ARGV[1]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
return 1
