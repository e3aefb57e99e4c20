-- A page of the dead tasks, those that died first at the beginning.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] first: rank from 0   ARGV[2] last: rank
-- returns: {{id, …}, {ms since 1970 of the death, …}, {record, …}, {errors, …}}
-- refuses: nothing
local page = redis.call('ZRANGE', dead, ARGV[1], ARGV[2], 'WITHSCORES')
local ids, times = {}, {}
for i = 1, #page, 2 do
  ids[#ids + 1], times[#times + 1] = page[i], string.format('%d', page[i + 1])
end
if #ids == 0 then return {{}, {}, {}, {}} end
local records, failures = redis.call('HMGET', tasks, unpack(ids)), redis.call('HMGET', errors, unpack(ids))
for i = 1, #ids do
  records[i], failures[i] = records[i] or '', failures[i] or ''
end
return {ids, times, records, failures}
