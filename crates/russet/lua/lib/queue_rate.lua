-- The rate of a queue, by GCRA: `tat` is when the claims so far would be due if they came evenly, in ms.
-- The limit as it stands, "<tasks> <in ms> <burst>", as interval, burst and tat; nothing without one.
local function rate_of(limit, tat, now)
  local count, per, burst = string.match(limit or '', '^(%d+) (%d+) (%d+)$')
  if not count then return end
  return per / count, tonumber(burst), math.max(tonumber(tat or '0'), now)
end
-- How many tasks may be claimed now. Sums of fractions of a ms are a little off.
local function tokens(interval, burst, tat, now)
  return math.max(0, math.floor(burst - (tat - now) / interval + 0.001))
end
