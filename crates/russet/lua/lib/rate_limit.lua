-- How each kind of limit decides. All times are whole microseconds, all numbers whole ones below 2^53.
-- A limit has four arguments: kind, most, a time, and one more. Each function answers what is left if the call is allowed
-- (negative when it is not), how long until it would be, how long until nothing is left of what came, and its new state.

-- State: "<number of the period> <count>".
local function fixed(state, now, cost, most, period)
  local number = math.floor(now / period)
  local last, count = string.match(state or '', '^(%d+) (%d+)$')
  count = tonumber(last) == number and tonumber(count) or 0
  local ends = (number + 1) * period - now
  return most - count - cost, ends, ends, string.format('%d %d', number, count + cost)
end

-- State: "<number of the newest bucket> <its count> <that of the one before> ...". With the bucket that is not over yet there
-- is one more than the period has, so that whatever period is looked at lies within them.
local function sliding(state, now, cost, most, bucket, buckets)
  local number, counts, sum = math.floor(now / bucket), {}, 0
  local last, list = string.match(state or '', '^(%d+)(.*)$')
  local age = last and number - tonumber(last) or 0
  -- A clock that was set back a little: the newest bucket goes on; by more: what came is of no time that can be told.
  if age < 0 and age >= -buckets then number, age = tonumber(last), 0 end
  if age >= 0 then
    for count in string.gmatch(list or '', '%d+') do
      if age <= buckets then counts[age] = tonumber(count) sum = sum + count end
      age = age + 1
    end
  end
  -- The oldest ones leave until there is room; the last to leave is the newest that has any.
  local wait, empty, over = 0, 0, sum + cost - most
  for place = buckets, 0, -1 do
    local count = counts[place] or 0
    if count > 0 then
      empty = (number - place + buckets + 1) * bucket - now
      if over > 0 then wait = empty end
      over = over - count
    end
  end
  counts[0] = (counts[0] or 0) + cost
  if cost > 0 then empty = (number + buckets + 1) * bucket - now end
  local line, used = string.format('%d', number), 0
  for place, count in pairs(counts) do
    if count > 0 then used = math.max(used, place) end
  end
  for place = 0, used do line = line .. string.format(' %d', counts[place] or 0) end
  return most - sum - cost, wait, empty, line
end

-- State: when all that came is worked off, "<us>" or "<us> <rest>" with the rest in parts of the `rate` of which a period is
-- worked off: nothing is rounded, and the usual state is a number of eight bytes.
local function gcra(state, now, cost, most, period, rate)
  local us, rest = string.match(state or '', '^(%d+) ?(%d*)$')
  us, rest = tonumber(us or now), tonumber(rest) or 0
  -- What has come beyond now, in parts.
  local burst = most * period
  local came = math.min(math.max((us - now) * rate + rest, 0), burst)
  local after = came + cost * period
  local left = math.floor((burst - after) / period)
  local wait, empty = math.ceil((after - burst) / rate), math.ceil(after / rate)
  rest = after % rate
  us = now + (after - rest) / rate
  return left, wait, empty, string.format(rest > 0 and '%d %d' or '%d', us, rest)
end

-- What all limits say to a call of this cost: whether it is allowed, an answer for each, and the new states with their TTLs.
local function judge(keys, cost, from)
  local now, states = now_us(), redis.call('MGET', unpack(keys))
  local allowed, answers, writes = 1, {}, {}
  for i = 1, #keys do
    local at = from + (i - 1) * 4
    local kind, most = ARGV[at], tonumber(ARGV[at + 1])
    local decide = kind == 'gcra' and gcra or kind == 'sliding' and sliding or fixed
    local period, more = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local left, wait, empty, state = decide(states[i], now, cost, most, period, more)
    if left < 0 then
      allowed = 0
      -- As it is without this call.
      local left_now, _, empty_now = decide(states[i], now, 0, most, period, more)
      left, empty = left_now, empty_now
    else
      wait = 0
    end
    answers[i] = {math.max(left, 0), wait, empty}
    -- A millisecond more: nothing is forgotten too early.
    writes[i] = {state, math.ceil(empty / 1000) + 1}
  end
  return allowed, answers, writes
end
