-- How a task's record is read: "V1;field=value;field=value name body".
local function field(record, name)
  return string.match(string.match(record, '^V1([^ ]*) ') or '', ';' .. name .. '=([^;]*)')
end
local function attempts_of(record)
  return tonumber(field(record, 'n') or '0')
end
-- A record of another version stays as it is.
local function with_attempts(record, attempts)
  local fields, rest = string.match(record, '^V1([^ ]*)( .*)$')
  if not fields then return record end
  return 'V1' .. string.gsub(fields, ';n=%d+', '') .. ';n=' .. attempts .. rest
end
