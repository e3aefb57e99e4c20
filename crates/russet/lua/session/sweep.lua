-- Looks for sessions that may be over, and puts those of users who have signed out everywhere among them.
-- KEYS: book: hash, due: zset, users: zset, events: zset, as lib/session names them
-- ARGV[1] most at once: integer
-- returns: {how they stand in the indexes, how many users are not done, how many events wait to be heard}
-- refuses: nothing
local found, moved, done, left = {}, {}, {}, 0
for _, member in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  if string.find(member, ' ', 1, true) then
    found[#found + 1] = member
  elseif left < 10 then
    local evicted, everywhere = marks_of(member)
    local last = string.format('%s %016.0f!', member, math.max(evicted, everywhere))
    local old = redis.call('ZRANGE', users, '[' .. member .. ' ', '(' .. last, 'BYLEX', 'LIMIT', 0, ARGV[1])
    if #old == 0 then
      -- No session is left that the mark has ended: it says nothing any more.
      done[#done + 1] = member
    else
      left = left + 1
      moved[#moved + 1] = old
    end
  end
end

for _, members in ipairs(moved) do
  for _, member in ipairs(members) do redis.call('ZADD', due, 0, member) end
end
for _, user in ipairs(done) do
  redis.call('HDEL', book, 'u:' .. user)
  redis.call('ZREM', due, user)
end
return {found, left, redis.call('ZCOUNT', events, '-inf', now)}
