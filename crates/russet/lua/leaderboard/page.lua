-- Lists the members at a stretch of positions, the best first.
-- KEYS: the board's, as lib/board names them
-- ARGV: five settings, as lib/board names them; ARGV[6] first position from 0: integer   ARGV[7] last position: integer
-- returns: {"lines", first, {how many stand above the first, {member, score, ...}}} | {"late", server_ms, {0, {}}}
-- refuses: writes nothing; never reads a board of a period that is not current
return refusal({0, {}}) or lines(tonumber(ARGV[6]), tonumber(ARGV[7]))
