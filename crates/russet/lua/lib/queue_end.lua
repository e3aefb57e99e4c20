-- How a task's life ends, and what it leaves: an error line of each failed attempt, an outcome for as long as it is kept.
-- What more is kept.
local kept, kept_bytes = 0, 0
local function note(id, now, attempt, text)
  local lines = redis.call('HGET', errors, id) or ''
  lines = lines .. string.format('%d %d ', now, attempt) .. string.gsub(text, '\n', ' ') .. '\n'
  -- The last 16 KiB, from the beginning of a line.
  if #lines > 16384 then lines = string.gsub(string.sub(lines, -16384), '^[^\n]*\n', '') end
  redis.call('HSET', errors, id, lines)
end
local function free_unique(id, unique)
  if unique and redis.call('HGET', uniques, unique) == id then redis.call('HDEL', uniques, unique) end
end
local function keep_outcome(id, now, state, text, ms)
  if tonumber(ms) <= 0 then return end
  local outcome = string.format('%s %d ', state, now) .. text
  redis.call('HSET', outcomes, id, outcome)
  redis.call('ZADD', ended, now + ms, id)
  kept, kept_bytes = kept + 1, kept_bytes + #outcome
end
-- Of more outcomes, or bytes of them, than may be kept, those go whose time ends first. Answers the bytes that are left.
local function bound_outcomes(bytes, most, most_bytes)
  bytes = tonumber(bytes or '0') + kept_bytes
  local count, rounds = redis.call('HLEN', outcomes), 0
  while (count > tonumber(most) or bytes > tonumber(most_bytes)) and rounds < 10 do
    local oldest = redis.call('ZRANGE', ended, 0, 99)
    if #oldest == 0 then break end
    local texts, gone = redis.call('HMGET', outcomes, unpack(oldest)), {}
    for i, id in ipairs(oldest) do
      if count <= tonumber(most) and bytes <= tonumber(most_bytes) then break end
      gone[i], count, bytes = id, count - 1, bytes - #(texts[i] or '')
    end
    redis.call('ZREM', ended, unpack(gone))
    redis.call('HDEL', outcomes, unpack(gone))
    rounds = rounds + 1
  end
  return string.format('%d', math.max(bytes, 0))
end
local function die(id, now, record, attempt, text)
  redis.call('HSET', tasks, id, with_attempts(record, attempt))
  redis.call('ZADD', dead, now, id)
  note(id, now, attempt, text)
  free_unique(id, field(record, 'u'))
  over[id] = 'dead'
end
local function end_cancelled(id, now, record, ms)
  keep_outcome(id, now, 'cancelled', (string.match(record, '^%S+ (%S+)') or '-') .. ' ' .. attempts_of(record) .. ' ', ms)
  free_unique(id, field(record, 'u'))
  redis.call('HDEL', tasks, id)
  redis.call('HDEL', errors, id)
  redis.call('HDEL', once, id)
  redis.call('HDEL', progress, id)
  redis.call('ZREM', cancels, id)
  over[id] = 'cancelled'
end
