-- Keeps a flusher's lease while it writes.
-- KEYS[1] flusher: string
-- ARGV[1] flusher: id   ARGV[2] lease: ms
-- returns: 1 kept | 0 the lease was lost
-- refuses: writes nothing unless the lease is its own
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end

redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
