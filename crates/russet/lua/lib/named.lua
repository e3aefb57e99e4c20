-- A reply of names and values, one behind the other, as a table.
local function named(reply)
  local fields = {}
  for at = 1, #reply, 2 do fields[reply[at]] = reply[at + 1] end
  return fields
end

