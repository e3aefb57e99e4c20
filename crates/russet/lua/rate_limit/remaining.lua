-- Tells what the limits of a subject leave.
-- KEYS: a string for each limit
-- ARGV: four for each limit: kind, most, and what lib/rate_limit says of that kind
-- returns: {left, ...}
-- refuses: writes nothing
local _, answers = judge(KEYS, 0, 1)
for i, answer in ipairs(answers) do answers[i] = answer[1] end
return answers
