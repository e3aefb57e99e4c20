-- Gives the recurring tasks that are due to the caller for a moment, at most 100: it is to fire them. When it does not, because
-- it died, they are given to another one after that.
-- KEYS: those of lib/schedule
-- ARGV[1] the moment: ms   ARGV[2] now: ms since 1970, or 0 for the server's time
-- returns: {now, ms until another one is due, or -1, {name, record, …}}
-- refuses: nothing
local now = ARGV[2] == '0' and now_ms() or tonumber(ARGV[2])
local due = redis.call('ZRANGE', ticks, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
local records = #due > 0 and redis.call('HMGET', recurring, unpack(due)) or {}
local given, taken = {}, {}
for i, name in ipairs(due) do
  given[2 * i - 1], given[2 * i] = name, records[i] or ''
  taken[2 * i - 1], taken[2 * i] = now + ARGV[1], name
end

if #due > 0 then redis.call('ZADD', ticks, unpack(taken)) end
local first = redis.call('ZRANGE', ticks, 0, 0, 'WITHSCORES')
local wait = first[1] and math.max(first[2] - now, 0) or -1
return {string.format('%d', now), string.format('%d', wait), given}
