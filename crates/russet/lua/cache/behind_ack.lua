-- Forgets queued writes that are in the store, and gives the flusher's lease back. Of a key that was put again
-- meanwhile the entry stays, and is written again.
-- KEYS[1] flusher: string   KEYS[2] writes: stream   KEYS[3] dirty: hash   KEYS[4] room: list
-- ARGV[1] flusher: id   ARGV[2...] sequence of the entry, key, sequence that was written, ...: 0 to 1000 of them
-- returns: how many are settled
-- refuses: leaves what was put again, and the lease of another flusher
local keys = {}
for at = 2, #ARGV, 3 do keys[#keys + 1] = ARGV[at + 1] end
local queued = ARGV[2] and redis.call('HMGET', KEYS[3], unpack(keys)) or {}
local ours = redis.call('GET', KEYS[1]) == ARGV[1]
local settled = 0

for i, entry in ipairs(queued) do
  local at = 3 * i - 1
  local id, sequence = ARGV[at] .. '-0', ARGV[at + 2]
  if not entry then
    redis.call('XDEL', KEYS[2], id)
  elseif string.match(entry, '^[VN]1;seq=(%d+)') == sequence then
    redis.call('XDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[3], keys[i])
    settled = settled + 1
  end
end
if redis.call('XLEN', KEYS[2]) == 0 then redis.call('DEL', KEYS[2]) end
if ours then redis.call('DEL', KEYS[1]) end
if settled > 0 then wake(KEYS[4], '') end
return settled
