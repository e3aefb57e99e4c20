-- Removes the members below the best `size`, at most 1000 at a time; 0 keeps all.
local function trim(scores, size)
  size = tonumber(size)
  if size > 0 then
    redis.call('ZREMRANGEBYRANK', scores, -size - 1000, -size - 1)
  end
end
