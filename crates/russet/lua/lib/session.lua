-- What the scripts of sessions share: their keys, in the order in which src/session/scripts.rs gives them, and a record's head.
-- A head: "V1 <user> <number> <ends, ms> <idle until, ms> <seen, ms> <version> <application or ->". Beside it in the record:
-- "identity" and "signature", "ip", attributes as "a:<name>", and as "app:<name>" who is signed in to an application by it:
-- "<id> <number>". In the book: "numbers", the last number given; "u:<user>", "<evicted up to> <signed out up to>"; "heard".
local record, book, global, due, users, events, ended, log = unpack(KEYS, 1, 8)
local now = now_ms()
local function read_head(text)
  local user, number, ends, idle, seen, version, app =
    string.match(text or '', '^V1%S* (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)')
  return user and {user = user, number = tonumber(number), ends = tonumber(ends), idle = tonumber(idle),
    seen = tonumber(seen), version = tonumber(version), app = app} or nil
end
local function head_text(head)
  return string.format('V1 %s %d %d %d %d %d %s', head.user, head.number, head.ends, head.idle, head.seen,
    head.version, head.app)
end
-- How a session stands in the indexes: "<user> <number> <id> <id of the global one or ->".
local function member_of(user, number, id, parent)
  return string.format('%s %016.0f %s %s', user, number, id, parent)
end
local function value_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end
-- Up to which number a user's sessions have ended: by eviction, by signing out everywhere.
local function marks_of(user)
  local evicted, everywhere = string.match(redis.call('HGET', book, 'u:' .. user) or '', '^(%d+) (%d+)')
  return tonumber(evicted or 0), tonumber(everywhere or 0)
end
-- Why a session by itself has ended, or nothing.
local function past(head)
  if head.ends <= now then return 'absolute' end
  if head.idle <= now then return 'idle' end
end
-- The same for one that stands under no other.
local function over(head)
  local evicted, everywhere = marks_of(head.user)
  if head.number <= everywhere then return 'everywhere' end
  if head.number <= evicted then return 'evicted' end
  return past(head)
end
