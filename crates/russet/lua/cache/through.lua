-- After a write that went through: stores what was written, unless something newer stands there.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] ticket: string
-- KEYS[4] refresh: string
-- ARGV[1] ticket: id   ARGV[2] version: decimal   ARGV[3] written: entry   ARGV[4] ttl: ms
-- ARGV[5] fresh: ms, or 0   ARGV[6] send the entry along: 1, or 0   ARGV[7] changes: channel   ARGV[8] key: text
-- returns: 1 stored | 2 a newer version stands there | 0 nobody can tell what is newer: dropped
-- refuses: leaves the guard of a strict write, and a newer version
local head = redis.call('GETRANGE', KEYS[1], 0, 127)
local first = string.sub(head, 1, 1)
local there = string.match(head, '^[VN]1;[^ ]*version=(%d+)')
local ours = redis.call('GET', KEYS[3]) == ARGV[1]
local written = stamped(ARGV[3], ARGV[5])
local verdict = 0
if first == 'W' then
  verdict = 3
elseif there then
  verdict = newer(ARGV[2], there) and 1 or 2
elseif ours then
  verdict = 1
end

if verdict == 1 then
  redis.call('SET', KEYS[1], written, 'PX', ARGV[4])
elseif verdict == 3 then
  redis.call('SETRANGE', KEYS[1], 9, '0')
elseif verdict == 0 then
  redis.call('DEL', KEYS[1])
end
-- Also that of a later writer, who may have committed before this one; a newer version came before its ticket.
if ours or verdict ~= 2 then redis.call('DEL', KEYS[3]) end
local refreshed = redis.call('DEL', KEYS[4]) == 1
if first == 'L' or refreshed then wake(KEYS[2], verdict == 1 and ARGV[6] == '1' and written or '') end
redis.call('PUBLISH', ARGV[7], ARGV[8])
return verdict % 3
