-- Prepares a shard for streams of another one. Their epochs stay valid: the minimum epoch of this generation becomes as
-- low as that of the other shard. Before, each stream here with a lower epoch must have got another epoch. New epochs
-- are greater than all epochs of the other shard.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the control channel, on which nodes learn of the change
-- KEYS[4]  the lock of the map
-- KEYS[5]  the map
-- ARGV[1]  minimum epoch of the other shard
-- ARGV[2]  newest epoch of the other shard
-- ARGV[3]  who must have the lock
-- ARGV[4]  the version that the map must have
--
-- Returns the generation. Error NOGENERATION: the nodes are restoring data. Error LOCKLOST: another command has changed
-- the map. After an error, nothing was done.
if not mayChange(KEYS[4], ARGV[3], KEYS[5], ARGV[4]) then return redis.error_reply(lockLost) end
local name, minEpoch = string.match(redis.call('GET', KEYS[1]) or '', '^(.*):([^:]*)$')
if not name then return redis.error_reply('NOGENERATION the nodes restore what Redis has lost') end
if ARGV[1] < minEpoch then
  minEpoch = ARGV[1]
  redis.call('SET', KEYS[1], name .. ':' .. minEpoch)
  redis.call('SPUBLISH', KEYS[3], 'generation')
end
if ARGV[2] > (redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], ARGV[2]) end
return name .. ':' .. minEpoch
