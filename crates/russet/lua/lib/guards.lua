-- The guards of an entry `W1;alone=1 <token>=<end in ms> ...` that have not ended, but for one: the others, the end of
-- the last of them, and whether that one was there.
local function guards(entry, now, token)
  local others, latest, held = {}, 0, false
  for other, ends in string.gmatch(entry, ' (%x+)=(%d+)') do
    if other == token then
      held = tonumber(ends) > now
    elseif tonumber(ends) > now then
      others[#others + 1] = other .. '=' .. ends
      latest = math.max(latest, tonumber(ends))
    end
  end
  return others, latest, held
end

