-- What the scripts of a queue share: its keys, in the order in which src/queue/scripts.rs gives them, and how a task's
-- record is read: "V1;field=value;field=value name body". The last character of an id is the task's priority.
local tasks, scheduled, running, leases, meta, dead, errors = unpack(KEYS, 1, 7)
local ended, outcomes, uniques, once, waiters, cancels, requests = unpack(KEYS, 8, 14)
local function ready(id)
  return KEYS[24 - tonumber(string.sub(id, 22))]
end
local function field(record, name)
  return string.match(string.match(record, '^V1([^ ]*) ') or '', ';' .. name .. '=([^;]*)')
end
local function attempts_of(record)
  return tonumber(field(record, 'n') or '0')
end
local function with_attempts(record, attempts)
  local fields, rest = string.match(record, '^V1([^ ]*)( .*)$')
  return 'V1' .. string.gsub(fields, ';n=%d+', '') .. ';n=' .. attempts .. rest
end
