-- Reads the map of partitions (shard-map.ts) of this shard, and writes a newer one.
--
-- KEYS[1]  the map
-- KEYS[2]  who may change the map now: `fanfare shards` locks it
-- KEYS[3]  the control channel, on which nodes learn of a new map
-- KEYS[4]  version of the layout (recover.lua): unlike the generation, it stays during a recovery
-- ARGV[1]  the map to write if it is newer; '' to read only
-- ARGV[2]  its version
-- ARGV[3]  the name under which the map is locked; '' for a node, which brings a shard up to date
--
-- Returns
--   the map that the shard has after the call (the given one if that was written), '' if none
--   1 if nodes use the shard, or have used it
--   the run id of the server, which shows whether two shards are the same one
-- Error READONLY: the server is a replica. It may be behind, and takes no map.
if string.find(redis.call('INFO', 'replication'), 'role:slave', 1, true) then
  return redis.error_reply('READONLY this server is a replica')
end
local stored = redis.call('GET', KEYS[1])
local version = stored and tonumber(string.match(stored, '"version":(%d+)')) or 0
local text, newVersion, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local isAllowed = owner == '' or redis.call('GET', KEYS[2]) == owner
if text ~= '' and newVersion > version and isAllowed then
  redis.call('SET', KEYS[1], text)
  redis.call('SPUBLISH', KEYS[3], 'map')
  stored = text
end
return { stored or '', redis.call('EXISTS', KEYS[4]), runId() }
