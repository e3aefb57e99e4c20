-- Tells what is in a topic.
-- KEYS[1] log: stream
-- returns: {messages, {{group, subscribers, pending, published and not taken, or -1}, ..}}
-- refuses: nothing
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, {}} end
local stream = named(redis.call('XINFO', 'STREAM', KEYS[1]))
local groups = {}
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = named(group)
  local behind = fields.lag or -1
  -- Up to date is up to date, however many were dropped before.
  if fields['last-delivered-id'] == stream['last-generated-id'] then behind = 0 end
  groups[#groups + 1] = {fields.name, fields.consumers, fields.pending, behind}
end
return {stream.length, groups}
