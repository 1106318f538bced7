-- Raises the fence of the generation: from now on, a node that does not know this version of the map of partitions can
-- publish nothing here, and asks for the map first. In the shard that gets the partition, the fence also says that its
-- copy is complete: data with a lower fence is older than the copy (recover.lua).
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the lock of the map
-- KEYS[4]  the map
-- ARGV[1]  the fence: the version of the map. A higher one stays
-- ARGV[2]  who must have the lock
-- ARGV[3]  the recovery in which the generation must have begun; '' for any. In another one, nothing is done
--
-- Returns {generation, newest epoch}. Error NOGENERATION: the nodes are restoring data. Error LOCKLOST: another command
-- has changed the map. After an error, nothing was done.
if not mayChange(KEYS[3], ARGV[2], KEYS[4], ARGV[1]) then return redis.error_reply(lockLost) end
local generation = redis.call('GET', KEYS[1])
local recovery, fence, minEpoch = string.match(generation or '', '^([^:.]+)%.?(%d*)(:.*)$')
if not recovery then return redis.error_reply('NOGENERATION the nodes restore what Redis has lost') end
local newest = redis.call('GET', KEYS[2]) or '0'
if ARGV[3] ~= '' and ARGV[3] ~= recovery then return { generation, newest } end
local name = recovery .. '.' .. math.max(tonumber(fence) or 0, tonumber(ARGV[1])) .. minEpoch
redis.call('SET', KEYS[1], name)
return { name, newest }
