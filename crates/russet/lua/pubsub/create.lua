-- Makes a group, and the topic with it.
-- KEYS[1] log: stream
-- ARGV[1] group: name   ARGV[2] position: id, 0-0 or $   ARGV[3] keep for: ms
-- returns: 1 it was made | 0 it is there
-- refuses: writes nothing when the group is there
local position, passed = ARGV[2], 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if named(group).name == ARGV[1] then return 0 end
  end
  local stream = named(redis.call('XINFO', 'STREAM', KEYS[1]))
  passed = stream['entries-added'] - (position == '$' and 0 or stream.length)
end
-- How many messages there were before: without it the server could not tell how far the group is behind.
if position ~= '$' and position ~= '0-0' then passed = -1 end

redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], position, 'MKSTREAM', 'ENTRIESREAD', passed)
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
