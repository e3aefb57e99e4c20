-- Reads a session without touching it.
-- KEYS: record: hash, book: hash, record of the global one: hash, as lib/session names them
-- ARGV: as lib/session_load names them
-- returns: {"live", now, its fields, those of the global one} | {why it is not valid, now, {}, {}}
-- refuses: nothing
local wrong = fault()
if wrong then return {wrong, now, {}, {}} end
return {'live', now, fields, above}
