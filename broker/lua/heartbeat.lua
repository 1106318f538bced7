-- Records that a node is alive, and its number of connections. Returns the same for all nodes. Advances the clock, which shows how old
-- the data in Redis is. If asked, it also publishes a probe: a message that must come back to the node that sent it.
--
-- The clock counts ms and never goes back: it is the greatest value that any node sends. Nodes measure with their own monotonic
-- clocks. The clock of the server's machine may be wrong, and may be corrected.
--
-- KEYS[1]  nodes, a sorted set by the clock of their last heartbeat
-- KEYS[2]  state of the server (stream.lua) in which the generation was last found complete
-- KEYS[3]  clock: it does not advance until a node has checked whether this server process holds the data (recover.lua)
-- KEYS[4]  connections of the nodes, a hash
-- KEYS[5]  version of the layout of everything that nodes keep in Redis (recover.lua)
-- KEYS[6]  nodes that have never published, a sorted set by the clock of their last heartbeat
-- KEYS[7]  generation
-- KEYS[8]  the channel of this node's probes; there is no such key
-- ARGV[1]  id of the node
-- ARGV[2]  how long after its last heartbeat the others wait for a node if Redis loses its state, in ms
-- ARGV[3]  its connections, with a '+' in front if it has no room for more (older releases read the same number); '' if it is stopping, so
--          that its connections do not count
-- ARGV[4]  the version of the layout that this node uses
-- ARGV[5]  the clock, as the node knows it; 0
-- ARGV[6]  'left' if the node leaves: it has nothing to restore if Redis loses its state; 'unpublished' if it has never published; else ''
-- ARGV[7]  the generation that the node knows
-- ARGV[8]  the probe to send; '' for none
--
-- Returns
--   the nodes, this one included, each with the clock of its last heartbeat
--   the current clock; 0 if it does not advance
--   the number of nodes that have reported their connections
--   the number of those nodes that have room for more
--   the number of connections of the nodes that have room
--   the nodes that have never published
--   1 if the probe was sent, '' if there was none, or the error that a publication would get (STALE: the generation is another one)
-- Error LAYOUT: another release has put its layout here, and nothing was done.
local layout = redis.call('GET', KEYS[5])
if layout and layout ~= ARGV[4] then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. ARGV[4])
end
local probe = ''
if ARGV[8] ~= '' then
  if redis.call('GET', KEYS[7]) == ARGV[7] then
    -- Adds nothing, because there is no such stream, but is refused if a publication would be. It must be the first write. If Redis is out
    -- of memory, the writes below are accepted nevertheless, because they begin with one that frees memory.
    probe = redis.pcall('XADD', KEYS[8], 'NOMKSTREAM', '*', '', '') or 1
  else
    probe = redis.error_reply('STALE the generation is another one')
  end
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
-- For the case that no node is left to remove old reports.
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
if probe == 1 then redis.call('PUBLISH', KEYS[8], ARGV[8]) end
return { redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'), clock, #counts, open, total, redis.call('ZRANGE', KEYS[6], 0, -1), probe }
