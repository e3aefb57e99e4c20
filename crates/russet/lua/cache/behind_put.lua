-- Queues a write: its value for the readers, its mark and order number, and its entry in the stream, in one step.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] ticket: string   KEYS[4] dirty: hash
-- KEYS[5] writes: stream   KEYS[6] sequence: string   KEYS[7] dead: hash
-- KEYS[8] refresh: string
-- ARGV[1] key: text   ARGV[2] kind: V or N   ARGV[3] payload: bytes   ARGV[4] ttl: ms
-- ARGV[5] most: entries   ARGV[6] send the entry along: 1, or 0   ARGV[7] changes: channel
-- returns: {"queued", sequence as text} | {"full", ""}
-- refuses: writes nothing when a new entry would be one too many
local dirty = redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1
local dead = dirty and redis.call('HEXISTS', KEYS[7], ARGV[1]) == 1
local new = not dirty or dead
if new and redis.call('XLEN', KEYS[5]) >= tonumber(ARGV[5]) then return {'full', ''} end
local leased = redis.call('GETRANGE', KEYS[1], 0, 0) == 'L'
local sequence = next_sequence(KEYS[6])
local entry = ARGV[2] .. '1;seq=' .. sequence .. ' ' .. ARGV[3]

-- First, since it is the only one that the server could refuse: an id below the last one.
if new then redis.call('XADD', KEYS[5], sequence .. '-0', 'k', ARGV[1]) end
redis.call('SET', KEYS[6], sequence)
redis.call('HSET', KEYS[4], ARGV[1], entry)
if dead then redis.call('HDEL', KEYS[7], ARGV[1]) end
redis.call('SET', KEYS[1], entry, 'PX', ARGV[4])
redis.call('DEL', KEYS[3])
local refreshed = redis.call('DEL', KEYS[8]) == 1
if leased or refreshed then wake(KEYS[2], ARGV[6] == '1' and entry or '') end
redis.call('PUBLISH', ARGV[7], ARGV[1])
return {'queued', sequence}
