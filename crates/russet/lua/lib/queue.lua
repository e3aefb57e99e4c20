-- What the scripts of a queue share: its keys, in the order in which src/queue/scripts.rs gives them, and how a task's
-- record is read: "V1;field=value;field=value name body". The last character of an id is the task's priority.
local tasks, scheduled, running, leases, meta, dead, errors = unpack(KEYS, 1, 7)
local ended, outcomes, uniques, once, waiters, cancels, requests = unpack(KEYS, 8, 14)
local remembered, progress, watchers = unpack(KEYS, 25, 27)
-- A member of running that stays: with one as long as this the server keeps an index, and not the compact form of small sets,
-- in which each look-up reads all of it. That was half of a turn's time.
local keeps_index = 'a member longer than zset-max-listpack-value, so that this is no listpack'
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
