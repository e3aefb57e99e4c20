-- The entry with the time until which it is fresh, by this server's clock; as it is when that need not be said (0 ms).
local function stamped(entry, fresh)
  if fresh == '0' then return entry end
  local now = redis.call('TIME')
  local ends = now[1] * 1000 + math.floor(now[2] / 1000) + fresh
  return string.format('%s;fresh=%d', string.sub(entry, 1, 2), ends) .. string.sub(entry, 3)
end
