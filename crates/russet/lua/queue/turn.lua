-- A worker's turn: settles what it has done, brings back what is due and what dead workers left, claims the next tasks.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] most tasks to claim: number   ARGV[2] lease: ms   ARGV[3] claimant: id   ARGV[4] waiter: address, or nothing
-- ARGV[5] longest wait: ms   ARGV[6] is registered: 1 or 0   ARGV[7] cancelled are kept: ms   ARGV[8] outcomes: most
-- ARGV[9] outcomes: most bytes   ARGV[10] settlements: number
-- ARGV[11] and on: their ids, then for each "<verdict> <fence> <number> <unique or -> <text>"; the verdicts are
--   a acknowledged (attempt; a fence alone is the first one), k acknowledged and its result kept (ms), r retry (delay in ms), d dead, f released,
--   c cancelled
-- returns: {now, ms until something is due, claim, {1 settled | 0 lease lost, …}, {id, …}, {record, …}}
-- refuses: settles nothing whose lease is another's; a paused queue gives no task, and one with a rate no more than that
local now, most, settling = now_ms(), tonumber(ARGV[1]), tonumber(ARGV[10])
local held = settling > 0 and redis.call('ZMSCORE', running, unpack(ARGV, 11, 10 + settling)) or {}
local said = redis.call('HMGET', meta, 'paused', 'last', 'completed', 'failed', 'retrying', 'ghosts', 'once', 'progress',
  'watched', 'bytes', 'limit', 'tat')
local counted = {completed = said[3] or 0, failed = said[4] or 0, retrying = said[5] or 0, ghosts = said[6] or 0}
local changed = {}
local lease = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
local first = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
local orphans, due = {}, {}
local wait = math.huge
if lease[1] then
  if tonumber(lease[2]) <= now then
    local claim = string.match(lease[1], '^%d+')
    orphans, wait = redis.call('ZRANGE', running, claim, claim, 'BYSCORE', 'LIMIT', 0, 100), 0
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

local told, settled, removed, claims, pushed = {}, {}, {}, {}, 0
local done = {}
local earliest = math.huge
for i = 1, settling do
  local id, fence = ARGV[10 + i], ARGV[10 + settling + i]
  local verdict, number, unique, text = 'a', '1', '-', ''
  -- A fence alone is an acknowledged first attempt of a task without a unique key: nearly all are.
  if string.find(fence, ' ', 1, true) then
    verdict, fence, number, unique, text = string.match(fence, '^(%a) (%d+) (%d+) (%S+) ?(.*)$')
  end
  told[i] = held[i] and not done[id] and tonumber(held[i]) == tonumber(fence) and 1 or 0
  if told[i] == 1 then
    done[id], settled[#settled + 1], claims[fence] = true, id, true
    if verdict == 'a' or verdict == 'k' then
      removed[#removed + 1], over[id] = id, 'completed'
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
if #settled > 0 then redis.call('ZREM', running, unpack(settled)) end
if #removed > 0 then
  redis.call('HDEL', tasks, unpack(removed))
  if tonumber(said[7] or '0') > 0 then redis.call('HDEL', once, unpack(removed)) end
  if said[8] then redis.call('HDEL', progress, unpack(removed)) end
end
for claim in pairs(claims) do
  if redis.call('ZCOUNT', running, claim, claim) == 0 then redis.call('ZREM', leases, claim .. ' ' .. ARGV[3]) end
end
if earliest < wait then
  wait = earliest
  wake_workers(1)
end

-- From the last to the first, so that they stand at the head in their order.
for i = #orphans, 1, -1 do
  local id = orphans[i]
  if not done[id] then
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
end
if #orphans > 0 then redis.call('ZREM', running, unpack(orphans)) end
if wait == 0 and lease[1] and tonumber(lease[2]) <= now and #orphans < 100 then redis.call('ZREM', leases, lease[1]) end
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
end

local ids, records, places = {}, {}, {}
local claim = '0'
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
  places[1], places[2] = 0, keeps_index
  for i, id in ipairs(ids) do
    places[2 * i + 1], places[2 * i + 2] = claim, id
  end
  redis.call('ZADD', running, unpack(places))
  redis.call('ZADD', leases, now + ARGV[2], claim .. ' ' .. ARGV[3])
  wait = math.min(wait, tonumber(ARGV[2]))
end
-- Whom the rate keeps from more is not woken by more: its time is when the next one may be had, and a second at most, for
-- the rate can be changed.
local is_held_back = allowed < most and #ids == allowed and said[1] ~= '1'
if interval then tat = tat + #ids * interval end
if is_held_back then wait = math.min(wait, 1000, math.max(1, math.ceil(tat - (burst - 1) * interval - now))) end
if most > 0 and #ids < most and not is_held_back and ARGV[4] ~= '' then
  redis.call('ZADD', waiters, now + math.min(wait, tonumber(ARGV[5])), ARGV[4])
elseif ARGV[6] == '1' then
  redis.call('ZREM', waiters, ARGV[4])
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
return {string.format('%.0f', now), string.format('%.0f', math.min(wait, tonumber(ARGV[5]))), claim, told, ids, records}
