-- The next order number of a partition, as text: one more than the last, and no less than the time in microseconds, so
-- that it grows although a counter was lost.
local function next_sequence(counter)
  local time = redis.call('TIME')
  local last = tonumber(redis.call('GET', counter) or 0)
  return string.format('%d', math.max(last + 1, time[1] * 1000000 + time[2]))
end

