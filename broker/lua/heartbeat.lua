-- Says that a node lives and how many connections it has, and hears the same of all nodes. Moves the clock on, which shows how old the data
-- in Redis is.
--
-- The clock counts ms and never goes back: it is the greatest that any node gives, and nodes measure with their own monotonic clocks.
-- The clock of the server's machine may be wrong, and may be corrected.
--
-- KEYS[1]  nodes, a sorted set by the clock of their last sign of life
-- KEYS[2]  state of the server (stream.lua) that the generation was found whole in
-- KEYS[3]  clock: stands while nobody has looked whether this server process holds the data (recover.lua)
-- KEYS[4]  connections of the nodes, a hash
-- KEYS[5]  version of the layout of all that nodes keep in Redis (recover.lua)
-- KEYS[6]  nodes that have never published, a sorted set by the clock of their last sign of life
-- ARGV[1]  id of the node
-- ARGV[2]  for how long after its last sign a node is waited for if Redis loses its state, in ms
-- ARGV[3]  its connections, with a '+' in front if it has no room for more (older releases read the same number); '' if it is not to be
--          counted, because it stops
-- ARGV[4]  the version of the layout that this node speaks
-- ARGV[5]  the clock, as the node knows it; 0
-- ARGV[6]  'left' if the node leaves: it has nothing to give back if Redis loses its state; 'unpublished' if it has never published; else ''
--
-- Returns the nodes, this one included, each with the clock of its last sign; the clock as it is kept now, 0 if it stands; how many nodes have
-- said how many connections they have; how many of those have room for more, and how many connections those have together; the nodes that have
-- never published.
-- Error LAYOUT: another release has put its layout here, and nothing was done.
local layout = redis.call('GET', KEYS[5])
if layout and layout ~= ARGV[4] then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. ARGV[4])
end
local lease, kept = tonumber(ARGV[2]), tonumber(redis.call('GET', KEYS[3]) or '0')
local now = math.max(kept, tonumber(ARGV[5]), 1)
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - lease)
for _, node in ipairs(dead) do redis.call('HDEL', KEYS[4], node) end
for _, key in ipairs({ KEYS[1], KEYS[6] }) do redis.call('ZREMRANGEBYSCORE', key, '-inf', now - lease) end
if ARGV[6] == 'left' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
end
if ARGV[6] == 'unpublished' then
  redis.call('ZADD', KEYS[6], string.format('%.0f', now), ARGV[1])
else
  redis.call('ZREM', KEYS[6], ARGV[1])
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[4], ARGV[1])
else
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
end
-- If no node is left to remove what the last ones said.
redis.call('PEXPIRE', KEYS[4], lease)
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
return { redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'), clock, #counts, open, total, redis.call('ZRANGE', KEYS[6], 0, -1) }
