-- Prepares a shard for streams of another one. Their epochs stay valid: the minimum epoch of this generation becomes as
-- low as that of the other shard. Before, each stream here with a lower epoch must have got another epoch. New epochs
-- are greater than all epochs of the other shard.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the control channel, on which nodes learn of the change
-- ARGV[1]  minimum epoch of the other shard
-- ARGV[2]  newest epoch of the other shard
--
-- Returns the generation. Error NOGENERATION: the nodes are restoring data, and nothing was done.
local name, minEpoch = string.match(redis.call('GET', KEYS[1]) or '', '^(.*):([^:]*)$')
if not name then return redis.error_reply('NOGENERATION the nodes restore what Redis has lost') end
if ARGV[1] < minEpoch then
  minEpoch = ARGV[1]
  redis.call('SET', KEYS[1], name .. ':' .. minEpoch)
  redis.call('SPUBLISH', KEYS[3], 'generation')
end
if ARGV[2] > (redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], ARGV[2]) end
return name .. ':' .. minEpoch
