-- Whether a version is larger than another; decimal text, since a Lua number is exact to 2^53 only.
local function newer(a, b)
  return #a > #b or (#a == #b and a > b)
end

