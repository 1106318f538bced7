-- Records which version of the map of partitions a node has applied. `fanfare shards` waits for it.
--
-- KEYS[1]  versions, a hash by the id of the node
-- ARGV[1]  id of the node
-- ARGV[2]  the version
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
-- Nodes that are gone are not removed one by one.
redis.call('PEXPIRE', KEYS[1], 86400000)
