-- What the scripts of recurring tasks share: their two keys, which are the last ones.
local recurring, ticks = KEYS[#KEYS - 1], KEYS[#KEYS]
