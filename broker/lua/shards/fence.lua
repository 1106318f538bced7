-- Raises the fence of the generation: from now on, a node that does not know this version of the map of partitions can
-- publish nothing here, and asks for the map first.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- ARGV[1]  the fence; a higher one stays
--
-- Returns {generation, newest epoch}. Error NOGENERATION: the nodes are restoring data, and nothing was done.
local recovery, fence, minEpoch = string.match(redis.call('GET', KEYS[1]) or '', '^([^:.]+)%.?(%d*)(:.*)$')
if not recovery then return redis.error_reply('NOGENERATION the nodes restore what Redis has lost') end
local name = recovery .. '.' .. math.max(tonumber(fence) or 0, tonumber(ARGV[1])) .. minEpoch
redis.call('SET', KEYS[1], name)
return { name, redis.call('GET', KEYS[2]) or '0' }
