-- Appends a message, drops what is too old or too much, and wakes the subscribers that wait.
-- KEYS[1] log: stream     KEYS[2] waiters: hash
-- ARGV[1] version: text   ARGV[2] body: bytes   ARGV[3] keep for: ms   ARGV[4] keep at most: messages, or 0
-- returns: the message's id
-- refuses: nothing
local oldest = string.format('%d', math.max(now_ms() - ARGV[3], 0))
local waiting = redis.call('HRANDFIELD', KEYS[2], 1000, 'WITHVALUES')
local consumers = {}

local id = redis.call('XADD', KEYS[1], 'MINID', '~', oldest, 'LIMIT', 1000, '*', 'v', ARGV[1], 'body', ARGV[2])
if ARGV[4] ~= '0' then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[4], 'LIMIT', 1000) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
for at = 1, #waiting, 2 do
  consumers[#consumers + 1] = waiting[at]
  local channel, number = string.match(waiting[at + 1], '^(%S+) (%d+)$')
  if channel then redis.call('PUBLISH', channel, number .. ' ') end
end
if #consumers > 0 then redis.call('HDEL', KEYS[2], unpack(consumers)) end
return id
