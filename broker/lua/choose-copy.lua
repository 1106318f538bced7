-- Chooses the copy of the script that publishes (publish-script.ts) for all nodes.
--
-- KEYS[1]  the name of the copy
-- ARGV[1]  name of a copy that Redis has lost, or ''
-- ARGV[2]  name of the next copy
--
-- Returns the name to use: the stored one, or ARGV[2] if none is stored or that copy is lost.
local copy = redis.call('GET', KEYS[1])
if copy and copy ~= ARGV[1] then return copy end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
