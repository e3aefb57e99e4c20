-- Lists a member with its neighbours, the best first.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] member: text   ARGV[7] neighbours on each side: integer from 0 to 499
-- returns: {"lines", position of the first from 0, {how many stand above it, {member, score, ...}}}, nobody when the member is
--   not on the board | {"late", server_ms, {0, {}}}
-- refuses: writes nothing; never reads a board of a period that is not current
local refused = refusal({0, {}})
if refused then return refused end
local entry = entry_of(ARGV[6])
local position = entry and redis.call('ZREVRANK', scores, entry)
if not position then
  return {'lines', 0, {0, {}}}
end
return lines(math.max(position - ARGV[7], 0), position + ARGV[7])
