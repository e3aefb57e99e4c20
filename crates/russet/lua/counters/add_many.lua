-- Adds amounts to many names in the total and in buckets, as far as these are still kept.
-- KEYS: the total, and each bucket: zsets
-- ARGV[1] from: ms   ARGV[2] until: ms, or 0 when the time does not matter
--   then for each key its expiry in ms, how many names, and for each name its amount (integer from 1) and itself
-- returns: {"added", server_ms, {}} | {"late", server_ms, {}} | {"full", server_ms, {}}
-- refuses: never writes when the server's time is outside from and until, or when a count would pass 2^53
local now = now_ms()
if ARGV[2] ~= '0' and (now < tonumber(ARGV[1]) or now >= tonumber(ARGV[2])) then
  return {'late', now, {}}
end
local counted, at = {}, 3
for i, key in ipairs(KEYS) do
  local expiry, last = tonumber(ARGV[at]), at + 1 + 2 * ARGV[at + 1]
  if i == 1 or expiry > now then
    local names, counts = {}, {}
    for place = at + 3, last, 2 do names[#names + 1] = ARGV[place] end
    for n, count in ipairs(redis.call('ZMSCORE', key, unpack(names))) do
      local amount = ARGV[at + 2 * n]
      count = tonumber(count or 0)
      if count > 9007199254740992 - amount then return {'full', now, {}} end
      counts[2 * n - 1], counts[2 * n] = string.format('%d', count + amount), names[n]
    end
    counted[#counted + 1] = {key, expiry, counts}
  end
  at = last + 1
end

for i, bucket in ipairs(counted) do
  local key, expiry, counts = unpack(bucket)
  redis.call('ZADD', key, unpack(counts))
  if i > 1 then redis.call('PEXPIREAT', key, expiry, 'NX') end
end
return {'added', now, {}}
