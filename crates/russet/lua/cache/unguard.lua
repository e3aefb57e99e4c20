-- Drops the guard of a strict write and, when it was the last, whatever stands there.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] ticket: string
-- KEYS[4] refresh: string
-- ARGV[1] token: id   ARGV[2] changes: channel   ARGV[3] key: text
-- returns: 0, since nothing is stored
-- refuses: leaves the guards of others
local first = redis.call('GETRANGE', KEYS[1], 0, 0)
local entry = first == 'W' and redis.call('GET', KEYS[1]) or ''
local others = guards(entry, now_ms(), ARGV[1])
local at = string.find(entry, ' ' .. ARGV[1] .. '=', 1, true)

if #others == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SETRANGE', KEYS[1], 9, '0')
  -- In place, so that this works when memory is full.
  if at then redis.call('SETRANGE', KEYS[1], at, string.rep('-', #ARGV[1])) end
end
-- Whoever holds it may have committed before.
redis.call('DEL', KEYS[3])
local refreshed = redis.call('DEL', KEYS[4]) == 1
if first == 'L' or refreshed then wake(KEYS[2], '') end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 0
