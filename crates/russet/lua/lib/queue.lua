-- What the scripts of a queue share: its keys, in the order in which src/queue/scripts.rs gives them. The last character of an
-- id is the task's priority.
local tasks, scheduled, running, leases, meta, dead, errors = unpack(KEYS, 1, 7)
local ended, outcomes, uniques, once, waiters, cancels, requests = unpack(KEYS, 8, 14)
local remembered, progress, watchers = unpack(KEYS, 25, 27)
local function ready(id)
  return KEYS[24 - tonumber(string.sub(id, 22))]
end
