-- How a task's life ends, and what it leaves: an error line of each failed attempt, an outcome for as long as it is kept.
local function note(id, now, attempt, text)
  local lines = redis.call('HGET', errors, id) or ''
  lines = lines .. string.format('%.0f %d ', now, attempt) .. string.gsub(text, '\n', ' ') .. '\n'
  -- The last 16 KiB, from the beginning of a line.
  if #lines > 16384 then lines = string.gsub(string.sub(lines, -16384), '^[^\n]*\n', '') end
  redis.call('HSET', errors, id, lines)
end
local function free_unique(id, unique)
  if unique and redis.call('HGET', uniques, unique) == id then redis.call('HDEL', uniques, unique) end
end
local function keep_outcome(id, now, state, text, ms)
  if tonumber(ms) <= 0 then return end
  redis.call('HSET', outcomes, id, string.format('%s %.0f ', state, now) .. text)
  redis.call('ZADD', ended, now + ms, 't' .. id)
end
local function die(id, now, record, attempt, text)
  redis.call('HSET', tasks, id, with_attempts(record, attempt))
  redis.call('ZADD', dead, now, id)
  note(id, now, attempt, text)
  free_unique(id, field(record, 'u'))
end
local function end_cancelled(id, now, record, ms)
  keep_outcome(id, now, 'cancelled', string.match(record, '^%S+ (%S+)') .. ' ' .. attempts_of(record) .. ' ', ms)
  free_unique(id, field(record, 'u'))
  redis.call('HDEL', tasks, id)
  redis.call('HDEL', errors, id)
  redis.call('HDEL', once, id)
  redis.call('ZREM', cancels, id)
end
