-- What the scripts of a queue share: its keys, in the order in which src/queue/scripts.rs gives them, and how a task's
-- record is read: "V1;field=value;field=value name body". The last character of an id is the task's priority.
local tasks, scheduled, running, leases, meta, dead, errors = unpack(KEYS, 1, 7)
local ended, outcomes, uniques, once, waiters, cancels, requests = unpack(KEYS, 8, 14)
local remembered, progress, watchers = unpack(KEYS, 25, 27)
-- What stands in running: for each task its claim; and for each claim how many of its tasks still run, and the ids of all that
-- it was given, as one text.
-- The tasks of a claim that still run, in their order.
local function tasks_of(claim)
  local ids, still = {}, {}
  for id in string.gmatch(string.match(redis.call('HGET', running, claim) or '', '%w*$'), string.rep('%w', 22)) do
    ids[#ids + 1] = id
  end
  for i, other in ipairs(#ids > 0 and redis.call('HMGET', running, unpack(ids)) or {}) do
    if other == claim then still[#still + 1] = ids[i] end
  end
  return still
end
-- What is left of a claim of which so many tasks were settled; nothing when it has ended. The entry as it was read.
local function less(entry, settled)
  if not entry then return end
  local left, ids = string.match(entry, '^(%d+) (%w+)$')
  if left - settled > 0 then return string.format('%.0f ', left - settled) .. ids end
end
local function ready(id)
  return KEYS[24 - tonumber(string.sub(id, 22))]
end
local function field(record, name)
  return string.match(string.match(record, '^V1([^ ]*) ') or '', ';' .. name .. '=([^;]*)')
end
local function attempts_of(record)
  return tonumber(field(record, 'n') or '0')
end
-- A record of another version stays as it is.
local function with_attempts(record, attempts)
  local fields, rest = string.match(record, '^V1([^ ]*)( .*)$')
  if not fields then return record end
  return 'V1' .. string.gsub(fields, ';n=%d+', '') .. ';n=' .. attempts .. rest
end
