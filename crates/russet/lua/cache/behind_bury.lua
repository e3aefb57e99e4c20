-- Takes a queued write that the store refuses off the stream; its value stays for the readers, and for another try.
-- KEYS[1] writes: stream   KEYS[2] dirty: hash   KEYS[3] dead: hash   KEYS[4] room: list
-- ARGV[1] sequence of the entry: decimal   ARGV[2] key: text   ARGV[3] sequence that was refused: decimal
-- ARGV[4] attempts: count   ARGV[5] error: text
-- returns: 1 buried | 0 it was put again meanwhile, or is in the store
-- refuses: writes nothing then
local entry = redis.call('HGET', KEYS[2], ARGV[2])
if not entry or string.match(entry, '^[VN]1;seq=(%d+)') ~= ARGV[3] then return 0 end
local now = now_ms()

redis.call('HSET', KEYS[3], ARGV[2], string.format('D1;attempts=%s;since=%d ', ARGV[4], now) .. ARGV[5])
redis.call('XDEL', KEYS[1], ARGV[1] .. '-0')
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1]) end
wake(KEYS[4], '')
return 1
