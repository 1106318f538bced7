-- Says that a node lives, and how many do; and lets the clock go on that shows how old the data is.
--
-- KEYS[1]  nodes, a sorted set by the time of their last sign of life in ms
-- KEYS[2]  state of the server (stream.lua) that the generation was found whole in
-- KEYS[3]  clock, in ms: stands while nobody has looked whether this server process holds the data (recover.lua)
-- ARGV[1]  id of the node
-- ARGV[2]  how long a node counts as alive after its last sign, in ms
--
-- Returns the number of nodes alive, this one included, and the clock as it is kept now; 0 where it stands.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
local clock = 0
if redis.call('GET', KEYS[2]) == stateOfServer() then
  clock = now
  redis.call('SET', KEYS[3], string.format('%.0f', clock))
end
return { redis.call('ZCARD', KEYS[1]), clock }
