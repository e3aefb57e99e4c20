-- A ring of buckets: field "0" and on is the count of the bucket whose number has this remainder, "last" the number of the
-- newest one, "total" what all of them hold.
-- What the window holds now: the newest bucket's number, the total, and the fields of those that have left it.
local function window_now(key, bucket, buckets)
  local now = now_ms()
  local newest = math.floor(now / bucket)
  local state = redis.call('HMGET', key, 'last', 'total')
  local last, total = tonumber(state[1]), tonumber(state[2] or 0)
  if not last then return newest, 0, {}, true end
  -- A clock that was set back a little: the newest bucket goes on. One that was set back by more than the window: what was
  -- counted then is of no time that can be told.
  if last > newest and last - newest < buckets then newest = last end
  local left = {}
  if last > newest then
    for field = 0, buckets - 1 do left[#left + 1] = string.format('%d', field) end
    return newest, 0, left, true
  end
  for number = last + 1, math.min(newest, last + buckets) do
    left[#left + 1] = string.format('%d', number % buckets)
  end
  if #left > 0 then
    for _, count in ipairs(redis.call('HMGET', key, unpack(left))) do total = total - (count or 0) end
  end
  return newest, total, left, newest > last
end
