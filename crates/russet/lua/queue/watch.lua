-- Registers who waits for the end of a task: whoever ends it tells.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id   ARGV[2] waiter: address   ARGV[3] for how long: ms
-- returns: 1 | 0 the task has ended, or there is none
-- refuses: registers nobody for a task that will not end; no more than 1,000 for one
local now, id = now_ms(), ARGV[1]
if redis.call('HEXISTS', tasks, id) == 0 or redis.call('ZSCORE', dead, id) then return 0 end
local lines, count = {}, 0
for line, ends in string.gmatch(redis.call('HGET', watchers, id) or '', '(%S+ %d+ (%d+)\n)') do
  if tonumber(ends) > now and count < 999 then
    count = count + 1
    lines[count] = line
  end
end
local ends = string.format('%d', now + ARGV[3])
local latest = redis.call('HGET', meta, 'watched') or '0'

redis.call('HSET', watchers, id, table.concat(lines) .. ARGV[2] .. ' ' .. ends .. '\n')
if tonumber(ends) > tonumber(latest) then redis.call('HSET', meta, 'watched', ends) end
return 1
