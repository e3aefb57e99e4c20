-- Reads one reservation, or those that hold, the next to end first.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] reservation: id, or nothing for those that hold   ARGV[2] from: integer from 0   ARGV[3] at most: integer from 1 to 1000
-- returns: {id, state, quantity, end in ms, product, user}, ...
-- refuses: writes nothing
local ids = {ARGV[1]}
if ARGV[1] == '' then
  ids = redis.call('ZRANGE', due, '(' .. string.format('%d', now), '+inf', 'BYSCORE', 'LIMIT', ARGV[2], ARGV[3])
end
local list = {}
local lines = #ids > 0 and redis.call('HMGET', holds, unpack(ids)) or {}
for i, id in ipairs(ids) do
  local hold = read_hold(lines[i])
  if hold then
    if hold.state == 'held' and hold.ms <= now then hold.state = 'expired' end
    list[#list + 1] = {id, hold.state, hold.quantity, hold.ms, hold.product, hold.user}
  end
end
return list
