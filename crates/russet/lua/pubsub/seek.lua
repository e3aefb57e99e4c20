-- Moves a group to another place of the topic.
-- KEYS[1] log: stream
-- ARGV[1] group: name   ARGV[2] position: id, 0-0 or $
-- returns: 1 moved | 0 there is no such group
-- refuses: writes nothing when there is no such group
local found = false
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    found = found or named(group).name == ARGV[1]
  end
end
if not found then return 0 end
local stream = named(redis.call('XINFO', 'STREAM', KEYS[1]))
local passed = -1
if ARGV[2] == '$' then passed = stream['entries-added'] end
if ARGV[2] == '0-0' then passed = stream['entries-added'] - stream.length end

redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2], 'ENTRIESREAD', passed)
return 1
