-- What is known of a task.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id
-- returns: {state, ms since 1970 of the state or of its due time, record, errors, progress} | {"ended", outcome} | {"unknown"}
-- refuses: nothing
local id = ARGV[1]
local record = redis.call('HGET', tasks, id)
if not record then
  local outcome = redis.call('HGET', outcomes, id)
  if outcome then return {'ended', outcome} end
  return {'unknown'}
end
local failures, last = redis.call('HGET', errors, id) or '', redis.call('HGET', progress, id) or ''
local places = {{'dead', dead, id}, {'scheduled', scheduled, id}, {'retrying', scheduled, 'r' .. id}}
local claim = redis.call('HGET', running, id)
if claim then return {'running', claim, record, failures, last} end
for _, place in ipairs(places) do
  local time = redis.call('ZSCORE', place[2], place[3])
  if time then return {place[1], string.format('%d', time), record, failures, last} end
end
return {'ready', '0', record, failures, last}
