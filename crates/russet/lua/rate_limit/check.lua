-- Lets a call through if all limits of its subject allow it, and counts it for all of them; or for none.
-- KEYS: a string for each limit
-- ARGV[1] cost: integer from 1   and four for each limit: kind, most, and what lib/rate_limit says of that kind
-- returns: {1 it is allowed | 0, {{left, us until it would be allowed, us until nothing is left of what came}, ...}}
-- refuses: writes nothing unless it is allowed
local allowed, answers, writes = judge(KEYS, tonumber(ARGV[1]), 2)

if allowed == 1 then
  for i, write in ipairs(writes) do redis.call('SET', KEYS[i], write[1], 'PX', write[2]) end
end
return {allowed, answers}
