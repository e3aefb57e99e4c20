-- The load of benches/load: look-ups of random users, page views, the leaderboard, points for random players.
-- Arguments after `--`: users, players.
--
-- Prints lines `name value` for benches/load: requests, rates and times; for each kind of request and status how many
-- there were; where the look-ups were answered from; what errors said; when the first and last failure came, in
-- seconds since 1970.

local ffi = require('ffi')
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } timespec;
  int clock_gettime(int clock, timespec *time);
]]
local time = ffi.new('timespec')
local REALTIME = 0

local function now()
  ffi.C.clock_gettime(REALTIME, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

-- Of 20 requests, and how each is made. The request id comes back with the answer and names its kind.
local users, players = 100000, 100000
local function user() return wrk.format('GET', '/api/users/' .. math.random(users), { ['x-request-id'] = 'user' }) end
local function view() return wrk.format('GET', '/api/stats/page_views', { ['x-request-id'] = 'view' }) end
local function board() return wrk.format('GET', '/api/leaderboard', { ['x-request-id'] = 'board' }) end
local function points()
  local headers = { ['x-request-id'] = 'points', ['content-type'] = 'application/json' }
  local body = string.format('{"player": "player%d", "score": %d}', math.random(players), math.random(100))
  return wrk.format('POST', '/api/leaderboard/update', headers, body)
end
local mix = {}
for kind, share in pairs({ [user] = 12, [view] = 4, [board] = 3, [points] = 1 }) do
  for _ = 1, share do table.insert(mix, kind) end
end

function init(arguments)
  users, players = tonumber(arguments[1]) or users, tonumber(arguments[2]) or players
  math.randomseed(1)
end

function request()
  return mix[math.random(#mix)]()
end

-- Globals: `done` reads them from the thread.
counts, first_failure, last_failure = {}, 0, 0

local function count(name)
  counts[name] = (counts[name] or 0) + 1
end

function response(status, headers, body)
  count('answers_' .. (headers['x-request-id'] or 'unknown') .. '_' .. status)
  if headers['x-cache'] then count('cache_' .. headers['x-cache']) end
  if status >= 300 then
    local when = now()
    if first_failure == 0 then first_failure = when end
    last_failure = when
    count('error ' .. (body:match('"error":"([^"]*)"') or 'without a text'))
    if not headers['retry-after'] then count('error without Retry-After') end
  end
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

function done(summary, latency)
  local function show(name, value) io.write(string.format('%s %s\n', name, value)) end
  local seconds = summary.duration / 1e6
  show('requests', summary.requests)
  show('rate', string.format('%.0f', summary.requests / seconds))
  show('p50_ms', string.format('%.2f', latency:percentile(50) / 1e3))
  show('p99_ms', string.format('%.2f', latency:percentile(99) / 1e3))
  local errors = summary.errors
  show('socket_errors', errors.connect + errors.read + errors.write + errors.timeout)
  for _, thread in ipairs(threads) do
    for name, value in pairs(thread:get('counts')) do
      local text = name:match('^error (.*)')
      if text then show('failed', value .. ' ' .. text) else show(name, value) end
    end
    show('first_failure', string.format('%.3f', thread:get('first_failure')))
    show('last_failure', string.format('%.3f', thread:get('last_failure')))
  end
end
