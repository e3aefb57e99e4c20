-- Takes ready tasks off the list of the highest priority that has any; nothing when none has.
local function pop_ready(most)
  local popped = redis.call('LMPOP', 10, KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21], KEYS[22],
    KEYS[23], KEYS[24], 'LEFT', 'COUNT', most)
  return popped and popped[2]
end
