-- Takes events that wait, and keeps them from others for a while.
-- KEYS: events: zset, ended: hash, as lib/session names them
-- ARGV[1] for how long: ms   ARGV[2] how many: integer
-- returns: {id, event, id, event, …}
-- refuses: nothing
local ids = redis.call('ZRANGE', events, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #ids == 0 then return {} end
local texts = redis.call('HMGET', ended, unpack(ids))
local found = {}
for i, id in ipairs(ids) do
  found[#found + 1] = id
  found[#found + 1] = texts[i] or ''
end

for _, id in ipairs(ids) do redis.call('ZADD', events, now + ARGV[1], id) end
return found
