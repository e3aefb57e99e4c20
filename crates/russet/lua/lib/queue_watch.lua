-- What ended here, and how, for who waits for it.
local over = {}
-- Tells who waits for the end of what ended here; `watched` is the time until which anybody waits for any task.
local function tell_ended(watched, now)
  if tonumber(watched or '0') < now or not next(over) then return end
  local ids = {}
  for id in pairs(over) do ids[#ids + 1] = id end
  for i, lines in ipairs(redis.call('HMGET', watchers, unpack(ids))) do
    for channel, number in string.gmatch(lines or '', '(%S+) (%d+) %d+\n') do
      redis.call('PUBLISH', channel, number .. ' ' .. over[ids[i]])
    end
  end
  redis.call('HDEL', watchers, unpack(ids))
end
