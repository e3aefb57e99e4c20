-- Places or renews the guard of a strict write: until it is dropped, readers load past the cache and store nothing.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] refresh: string
-- ARGV[1] token: id   ARGV[2] time: ms   ARGV[3] renew: 1 for a guard that must be there, else 0
-- ARGV[4] changes: channel   ARGV[5] key: text
-- returns: 1 placed | 0 the guard to renew is gone, or 1,000 others write this key
-- refuses: writes nothing then
local first = redis.call('GETRANGE', KEYS[1], 0, 0)
local entry = first == 'W' and redis.call('GET', KEYS[1]) or ''
local now = now_ms()
local others, latest, held = guards(entry, now, ARGV[1])
if #others >= 1000 or (ARGV[3] == '1' and not held) then return 0 end
-- Once several have written at a time nobody knows whose value is the record's.
local alone = #others == 0 and (not held or string.sub(entry, 10, 10) == '1')
local ends = now + tonumber(ARGV[2])
others[#others + 1] = string.format('%s=%d', ARGV[1], ends)

local guard = 'W1;alone=' .. (alone and '1' or '0') .. ' ' .. table.concat(others, ' ')
redis.call('SET', KEYS[1], guard, 'PX', math.max(latest, ends) - now)
local refreshed = redis.call('DEL', KEYS[3]) == 1
if first == 'L' or refreshed then wake(KEYS[2], '') end
if first ~= 'W' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
