-- Marks a shard as complete, if it is still the one that the rebuild has begun with.
-- KEYS[1] bits: string
-- returns: 1 marked | 0 the shard was lost meanwhile
-- refuses: writes nothing to a shard that was lost, or was made anew by an insert
if redis.call('GETBIT', KEYS[1], 1) == 0 then return 0 end

redis.call('SETBIT', KEYS[1], 0, 1)
return 1
