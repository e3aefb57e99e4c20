-- A worker's turn: settles what it has done, makes ready what is due, claims the next tasks.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] most tasks to claim: number, to 100   ARGV[2] lease: ms   ARGV[3] claimant: id   ARGV[4] waiter: address, or nothing
-- ARGV[5] longest wait: ms   ARGV[6] is registered: 1 or 0
-- ARGV[7] tasks acknowledged one by one: number   ARGV[8] their claims: number   ARGV[9] claims acknowledged as a whole: number
-- ARGV[10] and on: the ids of the first, claim by claim; their claims; the claims acknowledged as a whole; how many ids are of
--   each of the former. An acknowledged task is the first attempt of one without a unique key, whose result is not kept: what
--   else can become of a task is told to queue/settle
-- returns: {now, ms until something is due, claim, {place of each id or whole claim whose lease is lost, …}, ids as one text,
--   {record, …}, 1 the lease of a claim has ended, which queue/reap brings back | 0}
-- refuses: settles nothing whose lease is another's; a paused queue gives no task, and one with a rate no more than that; passes
--   over 1,000 cancelled tasks, and up to 99 more, at most
local now, most = now_ms(), math.min(tonumber(ARGV[1]), 100)
local singles, claims, wholes = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local asked = singles + claims + wholes
local held = asked > 0 and redis.call('HMGET', running, unpack(ARGV, 10, 9 + asked)) or {}
local said, fields = {}, redis.call('HGETALL', meta)
for i = 1, #fields, 2 do said[fields[i]] = fields[i + 1] end
local lease = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
local longest = tonumber(ARGV[5])
local wait, is_dead, due = longest, 0, {}
if lease[1] then
  if tonumber(lease[2]) <= now then is_dead = 1 end
  wait = math.min(wait, math.max(lease[2] - now, 0))
end
if first[1] and tonumber(first[2]) <= now then
  due = redis.call('ZRANGE', scheduled, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
elseif first[1] then
  wait = math.min(wait, first[2] - now)
end

-- The acknowledged whose lease is current, the claims that end with them, and those of which some still run.
local acked, acks, finished, left, lost = {}, 0, {}, {}, {}
for i = 1, wholes do
  local place = singles + claims + i
  local entry = held[place] or '0 '
  local before = string.find(entry, ' ', 1, true)
  if entry ~= '0 ' and #entry == before + 22 * string.sub(entry, 1, before - 1) then
    for at = before + 1, #entry, 22 do
      acks = acks + 1
      acked[acks] = string.sub(entry, at, at + 21)
    end
    finished[#finished + 1] = ARGV[9 + place]
  else
    lost[#lost + 1] = singles + i
  end
end
local place = 0
for i = 1, claims do
  local claim, count, current = ARGV[9 + singles + i], tonumber(ARGV[9 + asked + i]), 0
  for j = place + 1, place + count do
    if held[j] == claim then
      current, acks = current + 1, acks + 1
      acked[acks] = ARGV[9 + j]
    else
      lost[#lost + 1] = j
    end
  end
  place = place + count
  local rest = less(held[singles + i], current)
  if rest then
    left[#left + 1], left[#left + 2] = claim, rest
  elseif current > 0 then
    finished[#finished + 1] = claim
  end
end
local news = {}
if acks > 0 then
  news[1], news[2] = 'completed', string.format('%d', (said.completed or 0) + acks)
  redis.call('HDEL', tasks, unpack(acked))
  if said.once then redis.call('HDEL', once, unpack(acked)) end
  if said.progress then redis.call('HDEL', progress, unpack(acked)) end
  if said.watched then
    for _, id in ipairs(acked) do over[id] = 'completed' end
  end
  for i, claim in ipairs(finished) do
    acked[acks + i] = claim
    finished[i] = claim .. ' ' .. ARGV[3]
  end
  redis.call('HDEL', running, unpack(acked))
  if #finished > 0 then redis.call('ZREM', leases, unpack(finished)) end
  if #left > 0 then redis.call('HSET', running, unpack(left)) end
end

local retrying = 0
if #due > 0 then
  local by_list = {}
  for _, member in ipairs(due) do
    local id = string.sub(member, -22)
    if #member > 22 then retrying = retrying + 1 end
    local list = ready(id)
    by_list[list] = by_list[list] or {}
    table.insert(by_list[list], id)
  end
  redis.call('ZREM', scheduled, unpack(due))
  for list, ids in pairs(by_list) do redis.call('RPUSH', list, unpack(ids)) end
  first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
  if first[1] then wait = math.min(wait, math.max(first[2] - now, 0)) end
  if retrying > 0 then news[#news + 1], news[#news + 2] = 'retrying', string.format('%d', (said.retrying or 0) - retrying) end
end

local ids, records, ghosts = {}, {}, 0
local claim, given = '0', ''
local allowed, interval, burst, tat = most, rate_of(said.limit, said.tat, now)
if interval then allowed = math.min(most, tokens(interval, burst, tat, now)) end
if allowed > 0 and said.paused ~= '1' then
  repeat
    local popped = pop_ready(allowed - #ids)
    if not popped then break end
    local found, missing = redis.call('HMGET', tasks, unpack(popped)), 0
    for i = 1, #popped do
      if not found[i] then missing = missing + 1 end
    end
    if missing == 0 and #ids == 0 then
      ids, records = popped, found
    else
      -- Some were cancelled while they were ready.
      ghosts = ghosts + missing
      for i, id in ipairs(popped) do
        if found[i] then ids[#ids + 1], records[#records + 1] = id, found[i] end
      end
    end
  until #ids >= allowed or ghosts >= 1000
end
-- Of more cancelled tasks one call does not take all away.
local has_more = ghosts >= 1000 and #ids < allowed
if has_more then wait = 0 end
if #ids > 0 then
  claim = string.format('%d', math.max((said.last or 0) + 1, now * 1000))
  given = table.concat(ids)
  local claimed = {claim, #ids .. ' ' .. given}
  for i, id in ipairs(ids) do
    claimed[2 * i + 1], claimed[2 * i + 2] = id, claim
  end
  redis.call('HSET', running, unpack(claimed))
  redis.call('ZADD', leases, now + ARGV[2], claim .. ' ' .. ARGV[3])
  wait = math.min(wait, tonumber(ARGV[2]))
  news[#news + 1], news[#news + 2] = 'last', claim
  if interval then
    tat = tat + #ids * interval
    news[#news + 1], news[#news + 2] = 'tat', string.format('%.4f', tat)
  end
end
if ghosts > 0 then news[#news + 1], news[#news + 2] = 'ghosts', string.format('%d', (said.ghosts or 0) - ghosts) end
if #news > 0 then redis.call('HSET', meta, unpack(news)) end

-- Whom the rate keeps from more is not woken by more: its time is when the next one may be had, and a second at most, for
-- the rate can be changed.
local is_held_back = allowed < most and #ids == allowed and said.paused ~= '1'
if is_held_back then wait = math.min(wait, 1000, math.max(1, math.ceil(tat - (burst - 1) * interval - now))) end
-- Who has something to bring back, or has not seen all, comes again at once.
local is_waiting = most > 0 and #ids < most and not is_held_back and not has_more and is_dead == 0 and ARGV[4] ~= ''
local is_near = first[1] and tonumber(first[2]) > now and first[2] - now < longest
if ARGV[6] == '1' and (is_near or not is_waiting) then redis.call('ZREM', waiters, ARGV[4]) end
-- Two of those who wait look when the next one is due, and not all of them: they wake others for what they do not take.
local looking = is_near and redis.call('ZCOUNT', waiters, '(' .. now, first[2])
if is_waiting then
  if is_near and looking >= 2 and wait == first[2] - now then wait = longest end
  redis.call('ZADD', waiters, now + wait, ARGV[4])
elseif looking == 0 and not is_held_back then
  wake_workers(waiters, 1)
end
if #due > #ids and (most == 0 or #ids == most) then wake_workers(waiters, #due - #ids) end
tell_ended(said.watched, now)
return {now, wait, claim, lost, given, records, is_dead}
