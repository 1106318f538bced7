-- Records which version of the map of partitions a node has applied. `fanfare shards` waits for it. Removes the records
-- of nodes that are gone.
--
-- KEYS[1]  records, a hash by the id of the node: a version, and the clock when it was recorded
-- KEYS[2]  nodes, a sorted set by the clock of their last heartbeat
-- KEYS[3]  clock (heartbeat.lua)
-- ARGV[1]  id of the node
-- ARGV[2]  the version

-- How long a record stays without heartbeats of its node, in ms: the node may be starting, or may hang.
local keptMs = 3600000

local now = tonumber(redis.call('GET', KEYS[3]) or '0')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %.0f', ARGV[2], now))
local records = redis.call('HGETALL', KEYS[1])
for i = 1, #records, 2 do
  local id, recordedAt = records[i], tonumber(string.match(records[i + 1], '%d+$'))
  if recordedAt < now - keptMs and not redis.call('ZSCORE', KEYS[2], id) then redis.call('HDEL', KEYS[1], id) end
end
-- No node may be left to remove them.
redis.call('PEXPIRE', KEYS[1], 86400000)
