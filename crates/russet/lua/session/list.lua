-- A page of a user's sessions that stand under no other, the oldest first.
-- KEYS: book: hash, users: zset, as lib/session names them
-- ARGV[1] user: name   ARGV[2] after: how the last one stands in the index, or nothing   ARGV[3] how many: integer
-- returns: how they stand in the index; some may be over by now
-- refuses: nothing
local evicted, everywhere = marks_of(ARGV[1])
local from = string.format('[%s %016.0f', ARGV[1], math.max(evicted, everywhere) + 1)
if ARGV[2] ~= '' and '[' .. ARGV[2] > from then from = '(' .. ARGV[2] end
return redis.call('ZRANGE', users, from, '(' .. ARGV[1] .. '!', 'BYLEX', 'LIMIT', 0, ARGV[3])
