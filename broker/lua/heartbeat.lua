-- Records that a node is alive, and its number of connections. Returns the nodes and their connections. Advances the
-- clock, which shows how old the data in Redis is. If asked, it also publishes a probe: a message that must come back
-- to the node that sent it.
--
-- The clock counts ms and never goes back: it is the greatest value that any node sends. Nodes measure with their own
-- monotonic clocks. The clock of the server's machine may be wrong, and may be corrected.
--
-- KEYS[1]  nodes, a sorted set by the clock of their last heartbeat
-- KEYS[2]  state of the server (stream.lua) in which the generation was last found complete
-- KEYS[3]  clock: it does not advance until a node has checked whether this server process holds the data (recover.lua)
-- KEYS[4]  connections of the nodes, a hash
-- KEYS[5]  version of the layout of everything that nodes keep in Redis (recover.lua)
-- KEYS[6]  nodes that have never published, a sorted set by the clock of their last heartbeat
-- KEYS[7]  generation
-- KEYS[8]  the channel of this node's probes; no key has this name
-- ARGV[1]  id of the node
-- ARGV[2]  how long after its last heartbeat the others wait for a node if Redis loses its state, in ms
-- ARGV[3]  its connections, with a '+' in front if it has no room for more, then a space and its name; '' if it is
--          stopping, so that its connections do not count
-- ARGV[4]  the version of the layout that this node uses
-- ARGV[5]  the clock, as the node knows it, or 0
-- ARGV[6]  'left' if the node leaves: it has nothing to restore if Redis loses its state; 'unpublished' if it has never
--          published; else ''
-- ARGV[7]  the generation that the node knows
-- ARGV[8]  the probe to send; '' for none
--
-- Returns an array:
--   1  the nodes, this one included, each with the clock of its last heartbeat
--   2  the current clock; 0 if it does not advance
--   3  the number of nodes that have reported their connections
--   4  the number of those nodes that have room for more
--   5  the number of connections of the nodes that have room
--   6  the nodes that have never published
--   7  1 if the probe was sent, '' if there was none, or the error that a publication would get. STALE, also without a
--      probe: Redis has a different generation
-- Error LAYOUT: another release has put its layout here, and nothing was done.

local nodesKey, stateKey, clockKey, connectionsKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local layoutKey, unpublishedKey, generationKey, probeChannel = KEYS[5], KEYS[6], KEYS[7], KEYS[8]

local nodeId, lease, connections, layoutOfNode = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local clockOfNode, nodeState, generation, probe = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]

-- Returns what a publication would get now: 1, or an error. It adds nothing, because there is no stream of this name.
local function tryWrite()
  if not mayUse(redis.call('GET', generationKey), generation) then
    return redis.error_reply('STALE Redis has a different generation')
  end
  if probe == '' then return '' end
  return redis.pcall('XADD', probeChannel, 'NOMKSTREAM', '*', '', '') or 1
end

-- Removes the nodes that have been silent for too long.
local function forgetDead(now)
  local dead = redis.call('ZRANGEBYSCORE', nodesKey, '-inf', now - lease)
  for _, node in ipairs(dead) do redis.call('HDEL', connectionsKey, node) end
  for _, key in ipairs({ nodesKey, unpublishedKey }) do redis.call('ZREMRANGEBYSCORE', key, '-inf', now - lease) end
end

-- Adds this node to a set of nodes, or removes it.
local function setMember(key, isMember, now)
  if isMember then
    redis.call('ZADD', key, string.format('%.0f', now), nodeId)
  else
    redis.call('ZREM', key, nodeId)
  end
end

local function setConnections()
  if connections == '' then
    redis.call('HDEL', connectionsKey, nodeId)
  else
    redis.call('HSET', connectionsKey, nodeId, connections)
  end
  -- The reports expire even if no node is left to remove them.
  redis.call('PEXPIRE', connectionsKey, lease)
end

-- Returns the number of nodes that have reported their connections, the number of those that have room for more, and
-- the connections of the nodes that have room.
local function countConnections()
  local reports = redis.call('HVALS', connectionsKey)
  local open, total = 0, 0
  for _, report in ipairs(reports) do
    if report:sub(1, 1) ~= '+' then open, total = open + 1, total + tonumber(report:match('^%d+')) end
  end
  return #reports, open, total
end

local layout = redis.call('GET', layoutKey)
if layout and layout ~= layoutOfNode then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. layoutOfNode)
end

-- This must be the first write. Even if Redis is out of memory, it accepts the writes below, because the first of them
-- frees memory.
local outcome = tryWrite()

local now = math.max(tonumber(redis.call('GET', clockKey) or '0'), clockOfNode, 1)
forgetDead(now)
setMember(nodesKey, nodeState ~= 'left', now)
setMember(unpublishedKey, nodeState == 'unpublished', now)
setConnections()
local reported, open, total = countConnections()
local clock = 0
if redis.call('GET', stateKey) == stateOfServer() then
  clock = now
  redis.call('SET', clockKey, string.format('%.0f', clock))
end
if outcome == 1 then redis.call('SPUBLISH', probeChannel, probe) end
local living, unpublished = redis.call('ZRANGE', nodesKey, 0, -1, 'WITHSCORES'), redis.call('ZRANGE', unpublishedKey, 0, -1)
return { living, clock, reported, open, total, unpublished, outcome }
