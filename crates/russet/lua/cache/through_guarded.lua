-- After a strict write: stores what was written in place of its guard, or drops the guard when others wrote meanwhile.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] ticket: string
-- KEYS[4] refresh: string
-- ARGV[1] token: id   ARGV[2] written: entry   ARGV[3] ttl: ms   ARGV[4] fresh: ms, or 0
-- ARGV[5] changes: channel   ARGV[6] key: text
-- returns: 1 stored | 0 dropped
-- refuses: leaves the guards of others; stores nothing unless its guard stood there alone
local first = redis.call('GETRANGE', KEYS[1], 0, 0)
local entry = first == 'W' and redis.call('GET', KEYS[1]) or ''
local others, latest, held = guards(entry, now_ms(), ARGV[1])
local at = string.find(entry, ' ' .. ARGV[1] .. '=', 1, true)
local written = stamped(ARGV[2], ARGV[4])
local alone = held and #others == 0 and string.sub(entry, 10, 10) == '1'

if alone then
  redis.call('SET', KEYS[1], written, 'PX', ARGV[3])
elseif #others == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SETRANGE', KEYS[1], 9, '0')
  if at then redis.call('SETRANGE', KEYS[1], at, string.rep('-', #ARGV[1])) end
end
-- Whoever holds it may have committed before.
redis.call('DEL', KEYS[3])
local refreshed = redis.call('DEL', KEYS[4]) == 1
if first == 'L' or refreshed then wake(KEYS[2], '') end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return alone and 1 or 0
