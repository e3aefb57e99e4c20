-- A worker's turn: settles what it has done, brings back what is due and what dead workers left, claims the next tasks.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] most tasks to claim: number, to 100   ARGV[2] lease: ms   ARGV[3] claimant: id   ARGV[4] waiter: address, or nothing
-- ARGV[5] longest wait: ms   ARGV[6] is registered: 1 or 0   ARGV[7] cancelled are kept: ms   ARGV[8] outcomes: most
-- ARGV[9] outcomes: most bytes   ARGV[10] acknowledged: number   ARGV[11] settled otherwise: number   ARGV[12] claims: number
-- ARGV[13] and on: the ids of those settled otherwise, the ids of the acknowledged, the claims of all of them, how many of the acknowledged
--   are of each claim, which they follow in their order; then for each that is settled otherwise "<verdict> <claim> <number> <unique or -> <text>",
--   the verdicts being a acknowledged (attempt), k acknowledged and its result kept (ms), r retry (delay in ms), d dead, f released, c cancelled.
--   An acknowledged first attempt of a task without a unique key is told by its id alone: nearly all are
-- returns: {now, ms until something is due, claim, {place of each whose lease is lost, …}, ids as one text, {record, …}}
-- refuses: settles nothing whose lease is another's; a paused queue gives no task, and one with a rate no more than that
local now, most = now_ms(), math.min(tonumber(ARGV[1]), 100)
local acks, others, claims = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local settling = acks + others
local held = settling > 0 and redis.call('HMGET', running, unpack(ARGV, 13, 12 + settling + claims)) or {}
local said = redis.call('HMGET', meta, 'paused', 'last', 'completed', 'failed', 'retrying', 'ghosts', 'once', 'progress',
  'watched', 'bytes', 'limit', 'tat')
local counted = {completed = said[3] or 0, failed = said[4] or 0, retrying = said[5] or 0, ghosts = said[6] or 0}
local changed = {}
local lease = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
local dead_claim, due = nil, {}
local wait = math.huge
if lease[1] then
  if tonumber(lease[2]) <= now then
    dead_claim, wait = string.match(lease[1], '^%d+'), 0
  else
    wait = lease[2] - now
  end
end
if first[1] then
  if tonumber(first[2]) <= now then
    due, wait = redis.call('ZRANGE', scheduled, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100), 0
  else
    wait = math.min(wait, first[2] - now)
  end
end
local function count(what, by)
  counted[what] = counted[what] + by
  changed[what] = true
end

local lost, settled_of, pushed = {}, {}, 0
local earliest = math.huge
local place = others
for i = 1, claims do
  local claim, count = ARGV[12 + settling + i], tonumber(ARGV[12 + settling + claims + i])
  settled_of[claim] = count
  for j = place + 1, place + count do
    if held[j] ~= claim then
      lost[#lost + 1] = j
      settled_of[claim] = settled_of[claim] - 1
    end
  end
  place = place + count
end
-- The acknowledged whose lease is current: nearly always all of them, as they stand.
local acked, first_acked, last_acked = ARGV, 13 + others, 12 + settling
if #lost > 0 then
  acked, first_acked = {}, 1
  local at, is_lost = 1, {}
  for _, j in ipairs(lost) do is_lost[j] = true end
  for j = others + 1, settling do
    if not is_lost[j] then acked[#acked + 1] = ARGV[12 + j] end
  end
  last_acked = #acked
end
local settled, removed = {}, {}
for i = 1, others do
  local id = ARGV[12 + i]
  local verdict, claim, number, unique, text =
    string.match(ARGV[12 + settling + 2 * claims + i], '^(%a) (%d+) (%d+) (%S+) ?(.*)$')
  if held[i] ~= claim then
    lost[#lost + 1] = i
  else
    settled[#settled + 1] = id
    settled_of[claim] = settled_of[claim] + 1
    if verdict == 'a' or verdict == 'k' then
      removed[#removed + 1] = id
      count('completed', 1)
      if verdict == 'k' then keep_outcome(id, now, 'completed', text, number) end
      if verdict == 'k' or tonumber(number) > 1 then redis.call('HDEL', errors, id) end
      if unique ~= '-' then free_unique(id, unique) end
    elseif verdict == 'f' then
      redis.call('LPUSH', ready(id), id)
      pushed = pushed + 1
    else
      local record = redis.call('HGET', tasks, id) or ''
      local attempt = attempts_of(record) + 1
      if verdict == 'c' or (verdict == 'r' and redis.call('ZSCORE', cancels, id)) then
        end_cancelled(id, now, record, ARGV[7])
      elseif verdict == 'd' then
        die(id, now, record, attempt, text)
        count('failed', 1)
      else
        redis.call('HSET', tasks, id, with_attempts(record, attempt))
        redis.call('ZADD', scheduled, now + number, 'r' .. id)
        note(id, now, attempt, text)
        count('failed', 1)
        count('retrying', 1)
        earliest = math.min(earliest, tonumber(number))
      end
    end
  end
end
local over_leases, left = {}, {}
for i = 1, claims do
  local claim = ARGV[12 + settling + i]
  if settled_of[claim] > 0 then
    local rest = less(held[settling + i], settled_of[claim])
    if rest then
      left[#left + 1], left[#left + 2] = claim, rest
    else
      over_leases[#over_leases + 1] = claim .. ' ' .. ARGV[3]
      settled[#settled + 1] = claim
    end
  end
end
if acks > 0 and others == 0 and #lost == 0 and #left == 0 then
  -- All of them, and their claims, which stand behind them.
  redis.call('HDEL', running, unpack(ARGV, 13, 12 + settling + claims))
else
  if last_acked >= first_acked then redis.call('HDEL', running, unpack(acked, first_acked, last_acked)) end
  if #settled > 0 then redis.call('HDEL', running, unpack(settled)) end
  if #left > 0 then redis.call('HSET', running, unpack(left)) end
end
if #over_leases > 0 then redis.call('ZREM', leases, unpack(over_leases)) end
local function forget(ids, from, to)
  redis.call('HDEL', tasks, unpack(ids, from, to))
  if tonumber(said[7] or '0') > 0 then redis.call('HDEL', once, unpack(ids, from, to)) end
  if said[8] then redis.call('HDEL', progress, unpack(ids, from, to)) end
  if said[9] then
    for i = from, to do over[ids[i]] = 'completed' end
  end
end
if last_acked >= first_acked then
  count('completed', last_acked - first_acked + 1)
  forget(acked, first_acked, last_acked)
end
if #removed > 0 then forget(removed, 1, #removed) end
if earliest < wait then
  wait = earliest
  wake_workers(1)
end

-- Of what was not settled just now. From the last to the first, so that they stand at the head in their order.
local orphans = dead_claim and tasks_of(dead_claim) or {}
for i = #orphans, 1, -1 do
  local id = orphans[i]
  local record = redis.call('HGET', tasks, id) or ''
  local attempt = attempts_of(record) + 1
  count('failed', 1)
  if redis.call('ZSCORE', cancels, id) then
    end_cancelled(id, now, record, ARGV[7])
  elseif attempt >= tonumber(field(record, 'a') or '5') then
    die(id, now, record, attempt, 'the lease ended: its worker died, or did not renew it')
  else
    redis.call('HSET', tasks, id, with_attempts(record, attempt))
    note(id, now, attempt, 'the lease ended: its worker died, or did not renew it')
    redis.call('LPUSH', ready(id), id)
    pushed = pushed + 1
  end
end
if dead_claim then
  redis.call('HDEL', running, dead_claim, unpack(orphans))
  redis.call('ZREM', leases, lease[1])
end
if #due > 0 then
  local by_list = {}
  for _, member in ipairs(due) do
    local id = string.sub(member, -22)
    if #member > 22 then count('retrying', -1) end
    local list = ready(id)
    by_list[list] = by_list[list] or {}
    table.insert(by_list[list], id)
  end
  redis.call('ZREM', scheduled, unpack(due))
  for list, ids in pairs(by_list) do redis.call('RPUSH', list, unpack(ids)) end
  pushed = pushed + #due
  first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
  if #due < 100 and not dead_claim then
    wait = math.min(lease[1] and lease[2] - now or math.huge, first[1] and math.max(first[2] - now, 0) or math.huge)
  end
end

local ids, records = {}, {}
local claim, given = '0', ''
local allowed, interval, burst, tat = most, rate_of(said[11], said[12], now)
if interval then allowed = math.min(most, tokens(interval, burst, tat, now)) end
if allowed > 0 and said[1] ~= '1' then
  repeat
    local popped = pop_ready(allowed - #ids)
    if not popped then break end
    local found = redis.call('HMGET', tasks, unpack(popped))
    for i, id in ipairs(popped) do
      if found[i] then
        ids[#ids + 1], records[#records + 1] = id, found[i]
      else
        -- Cancelled while it was ready.
        count('ghosts', -1)
      end
    end
  until #ids >= allowed
end
if #ids > 0 then
  claim = string.format('%.0f', math.max(tonumber(said[2] or '0') + 1, now * 1000))
  given = table.concat(ids)
  local claimed = {claim, #ids .. ' ' .. given}
  for i, id in ipairs(ids) do
    claimed[2 * i + 1], claimed[2 * i + 2] = id, claim
  end
  redis.call('HSET', running, unpack(claimed))
  redis.call('ZADD', leases, now + ARGV[2], claim .. ' ' .. ARGV[3])
  wait = math.min(wait, tonumber(ARGV[2]))
end
-- Whom the rate keeps from more is not woken by more: its time is when the next one may be had, and a second at most, for
-- the rate can be changed.
local is_held_back = allowed < most and #ids == allowed and said[1] ~= '1'
if interval then tat = tat + #ids * interval end
if is_held_back then wait = math.min(wait, 1000, math.max(1, math.ceil(tat - (burst - 1) * interval - now))) end
local longest = tonumber(ARGV[5])
local is_waiting = most > 0 and #ids < most and not is_held_back and ARGV[4] ~= ''
local is_near = first[1] and tonumber(first[2]) > now and first[2] - now < longest
if ARGV[6] == '1' and (is_near or not is_waiting) then redis.call('ZREM', waiters, ARGV[4]) end
-- Two of those who wait look when the next one is due, and not all of them: they wake others for what they do not take.
local looking = is_near and redis.call('ZCOUNT', waiters, '(' .. now, first[2])
if is_waiting then
  if is_near and looking >= 2 and wait == first[2] - now then wait = longest end
  redis.call('ZADD', waiters, now + math.min(wait, longest), ARGV[4])
elseif looking == 0 and not is_held_back then
  wake_workers(1)
end
if pushed > #ids and (most == 0 or #ids == most) then wake_workers(pushed - #ids) end
local news = {}
for what in pairs(changed) do
  news[#news + 1], news[#news + 2] = what, string.format('%.0f', counted[what])
end
if #ids > 0 then news[#news + 1], news[#news + 2] = 'last', claim end
if #ids > 0 and interval then news[#news + 1], news[#news + 2] = 'tat', string.format('%.4f', tat) end
if kept > 0 then news[#news + 1], news[#news + 2] = 'bytes', bound_outcomes(said[10], ARGV[8], ARGV[9]) end
if #news > 0 then redis.call('HSET', meta, unpack(news)) end
tell_ended(said[9], now)
return {string.format('%.0f', now), string.format('%.0f', math.min(wait, longest)), claim, lost, given, records}
