-- A function of the scripts of `fanfare shards`. The node puts this file in front of them.

-- Whether a command may change this shard: it still has the lock, and the shard has the map that it wrote last. A command
-- that hung may have lost both to another one. `version`: '' if the map does not matter.
local function mayChange(lock, owner, map, version)
  if redis.call('GET', lock) ~= owner then return false end
  return version == '' or string.match(redis.call('GET', map) or '', '"version":(%d+)') == version
end

local lockLost = 'LOCKLOST another command has locked or changed the map'
