-- Returns which generation Redis is in. If Redis may have lost data, leads all nodes through restoring it, and then
-- begins the next generation.
--
-- A generation is the time in which nothing was lost. It ends if its key is gone (Redis came back empty, FLUSHALL), or
-- if the data is now served by another process, or by one that was a replica meanwhile (a restart, a failover: the end
-- of the streams may be missing). Then no node can publish (publish.lua returns STALE) until a recovery is over. In a
-- recovery, each node goes through these stages and waits for the others after each:
--   0  it has joined
--   1  it has restored the topics that it listens to
--   2  it has restored what it published and perhaps no other node received
--   3  it has checked what is still missing (verify.lua)
-- The node that finds all of them at stage 3 begins the next generation.
--
-- The recovery waits for these nodes, but no longer than ARGV[6]:
--   those that receive the call, which is a message on the channel ARGV[8];
--   those that have joined;
--   those that may have published what Redis lost. A node sends a heartbeat at least once a second, on the connection
--     on which it publishes. So if the data ends when the clock was at C, it has everything from nodes whose last
--     heartbeat is from well before C. The recovery also waits for a node that has never published, because it may have
--     received what others have forgotten. If such a node does not join, nothing is lost that only it knew.
--
-- If the nodes may not have restored everything, the streams may end too early, and no offset would show it. Then the
-- next generation raises the minimum epoch: all topics get another epoch, and their subscribers get a reset.
--
-- KEYS[1]  generation: '<name>:<minimum epoch>', or '<name>.<fence>:<minimum epoch>' (shards/fence.lua). Lower epochs
--          have ended, and must not be used again
-- KEYS[2]  newest epoch
-- KEYS[3]  state of the server (stream.lua) in which the generation began or was last found complete
-- KEYS[4]  the current recovery, a hash:
--            name            of the recovery, and of the generation that it will begin: so a node knows whether it
--                            joined
--            expected        how many nodes received the call
--            node:<id>       the stage of a node that has joined
--            sign:<id>       clock of the last heartbeat of a node that may have published what Redis lost
--            publisher:<id>  1 if that node has ever published
--            floor           the greatest minimum epoch that a node knows
--            told            the greatest clock that a node knows
--            isRemembered    1 if a node has joined that would know of a loss
--            isForgotten     1 if a node has joined that has forgotten too much of what it published
--            isOld           1 if more is lost than nodes remember of topics that nobody listens to, or a copied partition
--            fence           the greatest fence that a node knows: the next generation has it too
--            fenceOfData     the fence of the generation that ended; 0 if there is none
--            at, waited      when a node last asked, and how long the nodes have waited for each other, in ms
-- KEYS[5]  clock, in ms (heartbeat.lua)
-- KEYS[6]  version of the layout of everything that nodes keep in Redis
-- KEYS[7]  nodes, by the clock of their last heartbeat (heartbeat.lua)
-- KEYS[8]  nodes that have never published (heartbeat.lua)
-- ARGV[1]  id of the node
-- ARGV[2]  how long after its last heartbeat a node may still have published, in ms
-- ARGV[3]  the stage of the node, as above
-- ARGV[4]  what it remembers: 1 it was part of the last generation and would know of a loss; 0 it was, but has
--          forgotten too much; '' it is new
-- ARGV[5]  the newest clock that it knows, or 0
-- ARGV[6]  how long nodes wait for each other, in ms
-- ARGV[7]  name of the recovery, if this call begins one
-- ARGV[8]  channel of the call. The message is the id of the node that calls
-- ARGV[9]  name of the recovery that the node has joined, or ''
-- ARGV[10] how much data Redis may lose, as a time in ms: nodes remember what they published in that time
-- ARGV[11] the version of the layout that this node uses
-- ARGV[12] minimum epoch of the last generation that it knows
-- ARGV[13] 1 if it listens on the channel of ARGV[8], 0 if it is about to, '' if it cannot
-- ARGV[14] how long after the start of this server new nodes wait for one that remembers, in ms
-- ARGV[15] the greatest fence that it has found in this Redis (shards/fence.lua), or 0
-- ARGV[16] the fence that it uses: the version of the map of partitions that it knows, or 0
-- ARGV[17..] the nodes that it knows, only with its first report to this recovery. For each: id, clock of the last
--            heartbeat, and 1 if that node has never published, else ''
--
-- Returns {'serving', generation}, or {word, name of the recovery}. The node does what the word says, and calls again:
--   'listen'     subscribe to the channel first: otherwise it is not known whether this node is among those that
--                receive the call
--   'listened'   restore what you listen to
--   'published'  restore what you published since the clock was at the third value
--   'verify'     check what is still missing
--   'wait'       for the others
--   'hold'       the same: this server has just started, and so have all nodes that have joined so far
-- Error LAYOUT: what Redis holds was written by a release with another layout.

local generationKey, stateKey, recoveryKey, clockKey = KEYS[1], KEYS[3], KEYS[4], KEYS[5]
local layoutKey, nodesKey, unpublishedKey = KEYS[6], KEYS[7], KEYS[8]

local nodeId, slack, stage, memory = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local clockOfNode, patience, newName, channel = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local joinedName, tolerated, layoutOfNode, minEpochOfNode = ARGV[9], tonumber(ARGV[10]), ARGV[11], ARGV[12]
local listens, newNodeWait, fenceFound, fenceOfNode = ARGV[13], tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
local firstKnownNode = 17

-- A time as text, with all its digits.
local function text(number)
  return string.format('%.0f', number)
end

local function serverTime()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function serverUptime()
  return tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')) * 1000
end

local function get(field)
  return redis.call('HGET', recoveryKey, field)
end

local function set(...)
  redis.call('HSET', recoveryKey, ...)
end

-- Calls all nodes to a new recovery. `generation` is the one that ended, if it is still there.
local function beginRecovery(generation, now)
  local receivers = redis.call('SPUBLISH', channel, nodeId)
  -- This node takes part even if it does not receive its own call.
  local expected = receivers + (listens == '1' and 0 or 1)
  local floor = generation and string.match(generation, '%d+$') or '0000000000000000'
  local fence = generation and string.match(generation, '%.(%d+):') or 0
  set('name', newName, 'at', text(now), 'waited', 0, 'floor', floor, 'expected', expected, 'told', '0')
  set('fence', fence, 'fenceOfData', fence)
end

-- Records the stage of this node, and what it remembers.
local function join()
  set('node:' .. nodeId, stage)
  if memory == '1' then set('isRemembered', 1) end
  if memory == '0' then set('isForgotten', 1) end
  if minEpochOfNode > get('floor') then set('floor', minEpochOfNode) end
  local fence = math.max(fenceFound, fenceOfNode)
  if fence > tonumber(get('fence') or '0') then set('fence', text(fence)) end
end

-- Returns the greatest clock that a node knows.
local function newestClock()
  local newest = math.max(clockOfNode, tonumber(get('told') or '0'))
  set('told', text(newest))
  return newest
end

-- Records the nodes that may have published what Redis lost: `living` from Redis, then those that this node knows.
local function expectPublishers(living, deadBefore)
  local function expect(node, lastHeartbeat, hasPublished)
    if tonumber(lastHeartbeat) <= deadBefore then return end
    set('sign:' .. node, lastHeartbeat)
    if hasPublished then set('publisher:' .. node, 1) end
  end
  for i = 1, #living, 2 do
    expect(living[i], living[i + 1], not redis.call('ZSCORE', unpublishedKey, living[i]))
  end
  for i = firstKnownNode, #ARGV, 3 do
    expect(ARGV[i], ARGV[i + 1], ARGV[i + 2] == '')
  end
end

local function readRecovery()
  local flat, recovery = redis.call('HGETALL', recoveryKey), {}
  for i = 1, #flat, 2 do recovery[flat[i]] = flat[i + 1] end
  return recovery
end

-- Whether any node that receives the call or has joined has not reached a stage yet.
local function areBehind(recovery, wanted)
  local arrived = 0
  for field, stageOfNode in pairs(recovery) do
    if string.sub(field, 1, 5) == 'node:' then
      if tonumber(stageOfNode) < wanted then return true end
      arrived = arrived + 1
    end
  end
  return arrived < tonumber(recovery.expected)
end

-- Returns whether a node is absent that may have published what Redis lost, and whether any of these nodes has ever
-- published.
local function findAbsent(recovery, deadBefore)
  local isAbsent, isPublisherAbsent = false, false
  for field, lastHeartbeat in pairs(recovery) do
    local node = string.match(field, '^sign:(.*)')
    if node and not recovery['node:' .. node] and tonumber(lastHeartbeat) > deadBefore then
      isAbsent = true
      if recovery['publisher:' .. node] then isPublisherAbsent = true end
    end
  end
  return isAbsent, isPublisherAbsent
end

-- Adds the time since a node last asked, and returns how long the nodes have waited. Nodes ask every 20 ms. A longer
-- pause counts only in part, because it means that this server or the machines of the nodes hung.
local function addWaited(recovery, now)
  local pause = math.min(math.max(now - tonumber(recovery.at), 0), 200)
  local waited = tonumber(recovery.waited) + pause
  set('waited', waited, 'at', text(now))
  return waited
end

local function beginGeneration(name, fence, minEpoch, state)
  local generation = name .. (fence == '0' and '' or '.' .. fence) .. ':' .. minEpoch
  redis.call('SET', generationKey, generation)
  redis.call('SET', stateKey, state)
  redis.call('DEL', recoveryKey)
  -- The nodes ask at once.
  redis.call('SPUBLISH', channel, nodeId)
  return generation
end

local layout = redis.call('GET', layoutKey)
if not layout then
  redis.call('SET', layoutKey, layoutOfNode)
elseif layout ~= layoutOfNode then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. layoutOfNode)
end

-- The usual case: nothing was lost.
local generation = redis.call('GET', generationKey)
local state = stateOfServer()
if generation and redis.call('GET', stateKey) == state then return { 'serving', generation } end

local now = serverTime()
local isNew = redis.call('EXISTS', recoveryKey) == 0
if isNew then
  if listens == '0' then return { 'listen' } end
  beginRecovery(generation, now)
end
local name = get('name')
-- What the node did in another recovery does not count in this one.
if joinedName ~= name then stage = 0 end
redis.call('DEL', generationKey)
redis.call('PEXPIRE', recoveryKey, 60000)
join()

-- The data ends at the clock in Redis. If there is no data, nodes restore what they published in the time that Redis
-- may lose.
local dataEnd = tonumber(redis.call('GET', clockKey) or '')
local newest = newestClock()
local restoreFrom = dataEnd and dataEnd - slack or newest - tolerated
local deadBefore = (dataEnd or newest - tolerated) - slack
expectPublishers(isNew and redis.call('ZRANGE', nodesKey, 0, -1, 'WITHSCORES') or {}, deadBefore)
-- Data from before a copy ends too early in the topics that were copied, however long ago they were published.
local isBeforeCopy = fenceFound > tonumber(get('fenceOfData') or '0')
if dataEnd and (newest - dataEnd > tolerated or isBeforeCopy) then set('isOld', 1) end

local recovery = readRecovery()
local isAbsent, isPublisherAbsent = findAbsent(recovery, deadBefore)
local waited = addWaited(recovery, now)

-- Whether to wait longer until all nodes reach a stage. `share`: the part of the whole wait that may pass before
-- this stage must end.
local function mustWait(wanted, share)
  return (isAbsent or areBehind(recovery, wanted)) and waited < patience * share
end

if stage == 0 then return { 'listened', name } end
-- Most of the time is for the topics that nodes listen to, because these are most of the data.
if mustWait(1, 0.7) then return { 'wait', name } end
if stage == 1 then return { 'published', name, text(restoreFrom) } end
if mustWait(2, 0.85) then return { 'wait', name } end
if stage == 2 then return { 'verify', name } end
if mustWait(3, 1) then return { 'wait', name } end
-- Nodes that know what this server held may still be reconnecting.
if not recovery.isRemembered and serverUptime() < newNodeWait then return { 'hold', name } end

local isComplete = recovery.isRemembered
  and not recovery.isForgotten
  and not recovery.isOld
  and not isPublisherAbsent
  and not areBehind(recovery, 3)
local minEpoch = isComplete and recovery.floor or epochAfter(recovery.floor)
return { 'serving', beginGeneration(name, recovery.fence or '0', minEpoch, state) }
