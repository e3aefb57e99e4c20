-- Forgets subscribers that hold nothing and have not asked for long, up to 100 of them.
-- KEYS[1] log: stream
-- ARGV[1] group: name   ARGV[2] silence: ms
-- returns: how many
-- refuses: leaves those that hold messages, which would be lost with them
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local gone = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = named(consumer)
  if fields.pending == 0 and fields.idle > tonumber(ARGV[2]) and #gone < 100 then gone[#gone + 1] = fields.name end
end

for _, consumer in ipairs(gone) do redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer) end
return #gone
