-- Returns whether the data in Redis is what the nodes stored there, and leads them through restoring what it lost.
--
-- A generation is the time in which nothing was lost. It ends if its key is gone (Redis came back empty, FLUSHALL), or if another server
-- process holds it, or one that was a replica meanwhile (a restart, a failover: the end of the streams may be missing). Then no node can
-- publish (publish.lua returns STALE) until all have restored what they remember: first of the topics that they listen to, then of what they
-- published themselves and perhaps no other node received. The node that finds all of them done begins the next generation. It has the name
-- of the recovery, so that a node knows whether it joined. If a node joined and was not done, the minimum epoch is another one.
--
-- KEYS[1]  generation: '<name>:<minimum epoch>'
-- KEYS[2]  newest epoch
-- KEYS[3]  state of the server (stream.lua) in which the generation began or was last found complete
-- KEYS[4]  the current recovery, a hash
-- KEYS[5]  clock, in ms (heartbeat.lua)
-- KEYS[6]  version of the layout of everything that nodes keep in Redis
-- KEYS[7]  nodes, by the clock of their last heartbeat (heartbeat.lua)
-- KEYS[8]  nodes that have never published (heartbeat.lua)
-- ARGV[1]  id of the node
-- ARGV[2]  how long after its last heartbeat a node may still have published, in ms
-- ARGV[3]  what it has done: 0 nothing yet, 1 restored what it listens to, 2 and what it published, 3 and checked what is still missing
--          (verify.lua)
-- ARGV[4]  what it remembers: 1 it was part of the last generation and would know of a loss; 0 it was, but has forgotten too much; '' it is new
-- ARGV[5]  the newest clock that it knows; 0
-- ARGV[6]  how long to wait for other nodes, in ms
-- ARGV[7]  name for the recovery, if it begins one, and for the next generation
-- ARGV[8]  channel on which the other nodes are called, with the id of the one that calls
-- ARGV[9]  name of the recovery that it has joined; ''
-- ARGV[10] how far the clock may have gone back, in ms: nodes remember what they published in that time
-- ARGV[11] the version of the layout that this node uses
-- ARGV[12] minimum epoch of the last generation that it knows: epochs that ended must not be used again
-- ARGV[13] 1 if it listens on the channel of ARGV[8], 0 if it is about to, '' if it cannot
-- ARGV[14] how long after the start of this server new nodes wait for one that remembers, in ms
-- ARGV[15..] nodes that it knows: id, clock of the last heartbeat, 1 if it has never published, else '', each; with its first report to
--          this recovery
--
-- Nodes that are waited for: those that receive the call, those that have joined, and those that may have published something that Redis lost.
-- A node sends a heartbeat at least once a second, on the connection on which it publishes. So if the data is as it was when the clock was at
-- C, it holds everything that was published by a node whose last heartbeat is from well before C. A node that has never published is waited
-- for too, because it may have what others have forgotten. If it does not come, nothing is missing that only it would know.
--
-- Returns {'serving', generation}, or {word, name of the recovery}; the node does that and asks again. Words:
--   'listen'     on the channel first: otherwise it is not known whether you are among those that receive the call
--   'listened'   restore what you listen to
--   'published'  restore what you published since the clock was at the third value
--   'verify'     check what is still missing
--   'wait'       for the others
--   'hold'       likewise: this server has just started, and so have all nodes that have come so far
-- Error LAYOUT: what Redis holds was written by a release with another layout.
local layout = redis.call('GET', KEYS[6])
if not layout then
  redis.call('SET', KEYS[6], ARGV[11])
elseif layout ~= ARGV[11] then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. ARGV[11])
end
local generation = redis.call('GET', KEYS[1])
local state = stateOfServer()
if generation and redis.call('GET', KEYS[3]) == state then return { 'serving', generation } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stage, slack, tolerated = tonumber(ARGV[3]), tonumber(ARGV[2]), tonumber(ARGV[10])
local isNew = redis.call('EXISTS', KEYS[4]) == 0
if isNew then
  if ARGV[13] == '0' then return { 'listen' } end
  -- The last minimum epoch is kept if possible: epochs that had ended must not be used again.
  local minEpoch = generation and string.match(generation, '%d+$') or '0000000000000000'
  -- How many nodes receive the call: all of them are waited for.
  local expected = redis.call('PUBLISH', ARGV[8], ARGV[1]) + (ARGV[13] == '1' and 0 or 1)
  local fields = { 'name', ARGV[7], 'at', string.format('%.0f', now), 'waited', 0, 'floor', minEpoch, 'expected', expected, 'told', '0' }
  redis.call('HSET', KEYS[4], unpack(fields))
end
-- What was done in another recovery does not count in this one.
local name = redis.call('HGET', KEYS[4], 'name')
if ARGV[9] ~= name then stage = 0 end
redis.call('DEL', KEYS[1])
redis.call('PEXPIRE', KEYS[4], 60000)
redis.call('HSET', KEYS[4], 'node:' .. ARGV[1], stage)
if ARGV[4] == '1' then redis.call('HSET', KEYS[4], 'isRemembered', 1) end
if ARGV[4] == '0' then redis.call('HSET', KEYS[4], 'isForgotten', 1) end
if ARGV[12] > redis.call('HGET', KEYS[4], 'floor') then redis.call('HSET', KEYS[4], 'floor', ARGV[12]) end

-- `clock`: until when the data is complete. If there is no data, nodes restore what they published in the time by which it may be older.
local clock = tonumber(redis.call('GET', KEYS[5]) or '')
local newestClock = math.max(tonumber(ARGV[5]), tonumber(redis.call('HGET', KEYS[4], 'told') or '0'))
redis.call('HSET', KEYS[4], 'told', string.format('%.0f', newestClock))
local deadBefore = (clock or newestClock - tolerated) - slack
local function expect(node, sign, hasPublished)
  if tonumber(sign) <= deadBefore then return end
  redis.call('HSET', KEYS[4], 'sign:' .. node, sign)
  if hasPublished then redis.call('HSET', KEYS[4], 'publisher:' .. node, 1) end
end
local living = isNew and redis.call('ZRANGE', KEYS[7], 0, -1, 'WITHSCORES') or {}
for i = 1, #living, 2 do expect(living[i], living[i + 1], not redis.call('ZSCORE', KEYS[8], living[i])) end
for i = 15, #ARGV, 3 do expect(ARGV[i], ARGV[i + 1], ARGV[i + 2] == '') end
-- The data is older than what any node would still remember of topics that nobody listens to.
if clock and newestClock - clock > tolerated then redis.call('HSET', KEYS[4], 'isOld', 1) end

local fields = redis.call('HGETALL', KEYS[4])
local hash, done, isBehind = {}, { 0, 0, 0 }, {}
for i = 1, #fields, 2 do
  hash[fields[i]] = fields[i + 1]
  if string.sub(fields[i], 1, 5) == 'node:' then
    for wanted = 1, 3 do
      if tonumber(fields[i + 1]) >= wanted then done[wanted] = done[wanted] + 1 else isBehind[wanted] = true end
    end
  end
end
local isAbsent, isPublisherAbsent = false, false
for i = 1, #fields, 2 do
  local node = string.match(fields[i], '^sign:(.*)')
  if node and not hash['node:' .. node] and tonumber(fields[i + 1]) > deadBefore then
    isAbsent = true
    if hash['publisher:' .. node] then isPublisherAbsent = true end
  end
end
-- Whether nodes that receive the call or have joined have not come that far yet.
local function areBehind(wanted)
  return isBehind[wanted] or done[wanted] < tonumber(hash.expected)
end
local function lacks(wanted)
  return isAbsent or areBehind(wanted)
end
-- Nodes that wait ask every 20 ms. Time in which none asked does not count: this server, or the machines of the nodes, were stopped.
local waited, patience = tonumber(hash.waited) + math.min(math.max(now - tonumber(hash.at), 0), 200), tonumber(ARGV[6])
redis.call('HSET', KEYS[4], 'waited', waited, 'at', string.format('%.0f', now))

if stage == 0 then return { 'listened', name } end
-- Most of the time is for what nodes listen to: that is the most.
if lacks(1) and waited < patience * 0.7 then return { 'wait', name } end
if stage == 1 then return { 'published', name, string.format('%.0f', clock and clock - slack or newestClock - tolerated) } end
if lacks(2) and waited < patience * 0.85 then return { 'wait', name } end
if stage == 2 then return { 'verify', name } end
if lacks(3) and waited < patience then return { 'wait', name } end
-- This server has only just started: nodes that know what it held may still be reconnecting.
local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')) * 1000
if not hash.isRemembered and uptime < tonumber(ARGV[14]) then return { 'hold', name } end

local minEpoch = hash.floor
-- No node is left that would know what is missing, or not all of these nodes have come. The streams may end too early, which no number would
-- show: all topics get another epoch, and their subscribers get a reset.
if not hash.isRemembered or hash.isForgotten or hash.isOld or isPublisherAbsent or areBehind(3) then
  minEpoch = epochAfter(minEpoch)
end
generation = name .. ':' .. minEpoch
redis.call('SET', KEYS[1], generation)
redis.call('SET', KEYS[3], state)
redis.call('DEL', KEYS[4])
redis.call('PUBLISH', ARGV[8], ARGV[1])
return { 'serving', generation }
