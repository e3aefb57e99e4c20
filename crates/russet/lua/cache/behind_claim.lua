-- Takes the flusher's lease of a partition and reads its oldest queued writes.
-- KEYS[1] flusher: string   KEYS[2] writes: stream   KEYS[3] dirty: hash   KEYS[4] sequence: string
-- ARGV[1] flusher: id   ARGV[2] lease: ms   ARGV[3] linger: us   ARGV[4] newest: sequence, or empty for all that lingered
-- ARGV[5] count: integer from 1 to 1000
-- returns: {"claimed", sequence of the entry, key, queued entry or empty, ...} | {"busy", ms left as text} | {"later"}
--   while nothing has lingered | {"nothing"}
-- refuses: writes nothing unless there is work and the lease is free
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {'busy', string.format('%d', redis.call('PTTL', KEYS[1]))}
end
local time, newest = redis.call('TIME'), ARGV[4]
local now = time[1] * 1000000 + time[2]
if newest == '' then newest = string.format('%d', now - tonumber(ARGV[3])) end
local counter = tonumber(redis.call('GET', KEYS[4]) or 0) -- Ahead of the clock when that was set back.
if ARGV[4] == '' and counter > now then newest = '+' end
local entries = redis.call('XRANGE', KEYS[2], '-', newest, 'COUNT', ARGV[5])
if #entries == 0 then return {redis.call('XLEN', KEYS[2]) > 0 and 'later' or 'nothing'} end
local keys, answer = {}, {'claimed'}
for i, entry in ipairs(entries) do keys[i] = entry[2][2] end
local queued = redis.call('HMGET', KEYS[3], unpack(keys))
for i, entry in ipairs(entries) do
  answer[#answer + 1] = string.match(entry[1], '^%d+')
  answer[#answer + 1] = keys[i]
  answer[#answer + 1] = queued[i] or ''
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return answer
