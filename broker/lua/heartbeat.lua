-- Says that a node lives, and how many do.
--
-- KEYS[1]  nodes, a sorted set by the time of their last sign of life in ms
-- ARGV[1]  id of the node
-- ARGV[2]  how long a node counts as alive after its last sign, in ms
--
-- Returns the number of nodes alive, this one included.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZCARD', KEYS[1])
