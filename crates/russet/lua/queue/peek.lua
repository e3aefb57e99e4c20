-- A page of the tasks in one state.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] state: name   ARGV[2] first: place from 0   ARGV[3] most: number
-- returns: {place after the page | -1 there are no more, {id, …}, {ms or fence, …}, {record or outcome, …}, {errors, …}, {progress, …}}
--   of those that run the place is that of the claim times 1,000, and that in the claim
-- refuses: looks at 1,000 places at most
local state, first, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids, numbers, after = {}, {}, -1
if state == 'ready' then
  -- One list behind the other.
  local start, total = first, 0
  for i = 15, 24 do
    local length = redis.call('LLEN', KEYS[i])
    if start < length and #ids < most then
      for _, id in ipairs(redis.call('LRANGE', KEYS[i], start, start + most - #ids - 1)) do
        ids[#ids + 1], numbers[#numbers + 1] = id, '0'
      end
    end
    start, total = math.max(0, start - length), total + length
  end
  if first + #ids < total then after = first + #ids end
elseif state == 'running' then
  -- Claim by claim, each of which has a task at least.
  local at, skip = math.floor(first / 1000), first % 1000
  local claims = redis.call('ZRANGE', leases, at, at + most)
  for i, lease in ipairs(claims) do
    local claim = string.match(lease, '^%d+')
    local still = tasks_of(claim)
    for j = skip + 1, #still do
      if #ids == most then
        after = (at + i - 1) * 1000 + j - 1
        break
      end
      ids[#ids + 1], numbers[#numbers + 1] = still[j], claim
    end
    if #ids == most then
      if after < 0 and claims[i + 1] then after = (at + i) * 1000 end
      break
    end
    skip = 0
  end
else
  local places = {scheduled = scheduled, retrying = scheduled, dead = dead, completed = ended, cancelled = ended}
  local place = places[state]
  -- Those that wait for a time are of two kinds; the outcomes of two kinds are as long as their results, so not many are read.
  local looks = place == scheduled and 1000 or most
  local page = redis.call('ZRANGE', place, first, first + looks - 1, 'WITHSCORES')
  local looked = 0
  for i = 1, #page, 2 do
    if #ids == most then break end
    looked = looked + 1
    local member = page[i]
    local is_retrying = #member == 23
    if is_retrying == (state == 'retrying') and #member <= 23 then
      ids[#ids + 1], numbers[#numbers + 1] = string.sub(member, -22), string.format('%d', page[i + 1])
    end
  end
  if first + looked < redis.call('ZCARD', place) then after = first + looked end
end
if #ids == 0 then return {after, {}, {}, {}, {}, {}} end
local is_over = state == 'completed' or state == 'cancelled'
local records = redis.call('HMGET', is_over and outcomes or tasks, unpack(ids))
local failures, last = redis.call('HMGET', errors, unpack(ids)), redis.call('HMGET', progress, unpack(ids))
for i = 1, #ids do
  records[i], failures[i], last[i] = records[i] or '', failures[i] or '', last[i] or ''
end
return {after, ids, numbers, records, failures, last}
