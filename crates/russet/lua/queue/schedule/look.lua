-- What stands there of a recurring task.
-- KEYS: those of lib/schedule
-- ARGV[1] name: text
-- returns: {ms since 1970 now, record, or nothing when there is none}
-- refuses: nothing
return {string.format('%d', now_ms()), redis.call('HGET', recurring, ARGV[1]) or ''}
