-- The entry with the time until which it is fresh, by this server's clock; as it is when that need not be said (0 ms).
local function stamped(entry, fresh)
  if fresh == '0' then return entry end
  return string.format('%s;fresh=%d', string.sub(entry, 1, 2), now_ms() + fresh) .. string.sub(entry, 3)
end
