-- Names the copy of the script that publishes (publish-script.ts) which all nodes use.
--
-- KEYS[1]  the name of the copy
-- ARGV[1]  name of a copy that Redis does not know any more; ''
-- ARGV[2]  name of the next copy
--
-- Returns the name to use: the one that is kept, or ARGV[2] if none is kept or that one is gone.
local copy = redis.call('GET', KEYS[1])
if copy and copy ~= ARGV[1] then return copy end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
