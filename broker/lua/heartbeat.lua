-- Says that a node lives and how many connections it has, and hears the same of all; and lets the clock go on that shows how old the
-- data is.
--
-- KEYS[1]  nodes, a sorted set by the time of their last sign of life in ms
-- KEYS[2]  state of the server (stream.lua) that the generation was found whole in
-- KEYS[3]  clock, in ms: stands while nobody has looked whether this server process holds the data (recover.lua)
-- KEYS[4]  connections of the nodes, a hash
-- KEYS[5]  version of the layout of all that nodes keep in Redis (recover.lua)
-- ARGV[1]  id of the node
-- ARGV[2]  how long a node counts as alive after its last sign, in ms
-- ARGV[3]  its connections, with a '+' before the number where it has no room for more: to releases that do not know of that it is the
--          same number; '' where it is not to be counted, because it stops
-- ARGV[4]  the version of the layout that this node speaks
--
-- Returns the number of nodes alive, this one included; the clock as it is kept now, 0 where it stands; how many nodes have said how
-- many connections they have; how many of those have room for more, and how many connections those have together.
-- Error LAYOUT: another release has put its layout here, and nothing was done.
local layout = redis.call('GET', KEYS[5])
if layout and layout ~= ARGV[4] then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. ARGV[4])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
for _, node in ipairs(dead) do redis.call('HDEL', KEYS[4], node) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[4], ARGV[1])
else
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
end
-- Where no node is left to clear away what the last ones said.
redis.call('PEXPIRE', KEYS[4], ARGV[2])
local counts = redis.call('HVALS', KEYS[4])
local open, total = 0, 0
for _, count in ipairs(counts) do
  if count:sub(1, 1) ~= '+' then open, total = open + 1, total + tonumber(count) end
end
local clock = 0
if redis.call('GET', KEYS[2]) == stateOfServer() then
  clock = now
  redis.call('SET', KEYS[3], string.format('%.0f', clock))
end
return { redis.call('ZCARD', KEYS[1]), clock, #counts, open, total }
