-- Takes messages for a subscriber: those whose lease has ended, when it is time to look for them, and then new ones.
-- KEYS[1] log: stream
-- ARGV[1] group: name   ARGV[2] consumer: id   ARGV[3] most: messages   ARGV[4] lease: ms, or 0 for no look
-- ARGV[5] where the last look ended: id
-- returns: {where the look ended, messages that were dropped unacknowledged, {{id, deliveries, {field, value, ..}}, ..}}
--   | nil no topic or no group
-- refuses: writes nothing when there is no topic or no group
local known = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if known.err and string.find(known.err, 'NOGROUP') then return false end
if known.err then return known end
local most, ended, dropped, taken = tonumber(ARGV[3]), ARGV[5], 0, {}

if ARGV[4] ~= '0' then
  local look = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[4], ARGV[5], 'COUNT', most)
  ended, dropped = look[1], #look[3]
  for _, entry in ipairs(look[2]) do
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
    taken[#taken + 1] = {entry[1], pending[1][4], entry[2]}
  end
end
if #taken < most then
  local count = most - #taken
  local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', count, 'STREAMS', KEYS[1], '>')
  for _, entry in ipairs(read and read[1][2] or {}) do
    taken[#taken + 1] = {entry[1], 1, entry[2]}
  end
end
return {ended, dropped, taken}
