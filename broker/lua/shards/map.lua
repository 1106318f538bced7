-- Reads the map of partitions (shard-map.ts) of this shard, and writes a newer one.
--
-- KEYS[1]  the map
-- KEYS[2]  who may change the map now: `fanfare shards` locks it
-- KEYS[3]  the control channel, on which nodes learn of a new map
-- ARGV[1]  the map to write if it is newer; '' to read only
-- ARGV[2]  its version
-- ARGV[3]  the name under which the map is locked; '' for a node, which brings a shard up to date
--
-- Returns the map that the shard has after the call, '' if none. It is the given one if that was written.
local stored = redis.call('GET', KEYS[1])
local version = stored and tonumber(string.match(stored, '"version":(%d+)')) or 0
local text, newVersion, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if text == '' or version >= newVersion then return stored or '' end
if owner ~= '' and redis.call('GET', KEYS[2]) ~= owner then return stored or '' end
redis.call('SET', KEYS[1], text)
redis.call('SPUBLISH', KEYS[3], 'map')
return text
