-- Changes attributes of a session; those that are not named stay as they are.
-- KEYS: record: hash, book: hash, record of the global one: hash, as lib/session names them
-- ARGV[1] session: id   ARGV[2] global session: id, or -   ARGV[3] version that must stand: integer, or -   ARGV[4] most attributes: integer
-- ARGV[5] how many are set: integer   ARGV[6...] what is set: fields and values; then what is removed: fields
-- returns: {"done", version} | {"conflict", version} | {"full", version} | {why it is not valid, 0}
-- refuses: all but "done" write nothing
local wrong = fault()
if wrong then return {wrong, 0} end
if ARGV[3] ~= '-' and ARGV[3] ~= string.format('%d', head.version) then return {'conflict', head.version} end
local count, sets = 0, tonumber(ARGV[5])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 2) == 'a:' then count = count + 1 end
end
for i = 0, sets - 1 do
  if not value_of(fields, ARGV[6 + 2 * i]) then count = count + 1 end
end
if sets > 0 and count > tonumber(ARGV[4]) then return {'full', head.version} end
head.version = head.version + 1

redis.call('HSET', record, 'head', head_text(head), unpack(ARGV, 6, 5 + 2 * sets))
if #ARGV > 5 + 2 * sets then redis.call('HDEL', record, unpack(ARGV, 6 + 2 * sets)) end
return {'done', head.version}
