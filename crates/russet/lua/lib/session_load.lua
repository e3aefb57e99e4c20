-- Reads a session and, when it is an application's, the global one that it stands under.
-- ARGV[1] session: id   ARGV[2] global session: id, or -
local fields = redis.call('HGETALL', record)
local head = read_head(value_of(fields, 'head'))
local above = ARGV[2] ~= '-' and redis.call('HGETALL', global) or {}
local parent = read_head(value_of(above, 'head'))
-- Why it is not valid, or nothing. One of an application is what its global one says it is, and no longer.
local function fault()
  if not head then return 'unknown' end
  if ARGV[2] == '-' then return over(head) end
  if not parent or value_of(above, 'app:' .. head.app) ~= string.format('%s %d', ARGV[1], head.number) then
    return 'signed_out'
  end
  return over(parent) or past(head)
end
