-- Takes the waiters of an object off their list and sends each the news; a process takes a waiter by its number.
-- A waiter is "<channel> <number>" (src/wake.rs). No more than 1,000 a call: who is left has a time of its own.
local function wake(waiters, news)
  for _, waiter in ipairs(redis.call('LPOP', waiters, 1000) or {}) do
    local channel, number = string.match(waiter, '^(%S+) (%d+)$')
    if channel then redis.call('PUBLISH', channel, number .. ' ' .. news) end
  end
end

