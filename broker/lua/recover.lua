-- Says whether the data in Redis is what the nodes left there, and leads them through giving back what it lost.
--
-- A generation names the time in which nothing was lost. It ends where its key is gone (Redis came back empty, FLUSHALL) or where
-- another server process holds it, or one that was a replica meanwhile (a restart, a failover: the end of the streams may be missing). Then no node can publish
-- (publish.lua answers STALE) until all have given back what they remember: first of the topics that they listen to, then of what
-- they published themselves and nobody may have heard. Whoever finds all done begins the next generation.
--
-- KEYS[1]  generation: '<name>:<floor>'
-- KEYS[2]  state of the server (stream.lua) that the generation began in or was found whole in
-- KEYS[3]  the recovery that is under way, a hash
-- KEYS[4]  clock, in ms (heartbeat.lua)
-- KEYS[5]  version of the layout of all that nodes keep in Redis
-- ARGV[1]  id of the node
-- ARGV[2]  how many nodes it knows of, itself included
-- ARGV[3]  what it has done: 0 nothing yet, 1 what it listens to is given back, 2 and what it published too, 3 and looked what is
--          still missing (verify.lua)
-- ARGV[4]  1 where it was part of the last generation, so that it would know of a loss; else 0
-- ARGV[5]  the newest clock that it has been told; 0
-- ARGV[6]  how long to wait for other nodes, in ms
-- ARGV[7]  name for the next generation
-- ARGV[8]  channel on which the other nodes are called, with the id of the one that calls
-- ARGV[9]  name of the recovery that it takes part in; ''
-- ARGV[10] how far the clock may have gone back, in ms: nodes remember for so long what they published
-- ARGV[11] the version of the layout that this node speaks
--
-- Returns {'serving', generation}, or {word, name of the recovery}; the node does it and asks again. Words:
--   'listened'   give back what you listen to
--   'published'  give back what you published
--   'verify'     look what is still missing
--   'wait'       for the others
-- Error LAYOUT: what stands in Redis was written by a release that this one does not understand.
local layout = redis.call('GET', KEYS[5])
if not layout then
  redis.call('SET', KEYS[5], ARGV[11])
elseif layout ~= ARGV[11] then
  return redis.error_reply('LAYOUT ' .. layout .. ' is not ' .. ARGV[11])
end
local generation = redis.call('GET', KEYS[1])
local state = stateOfServer()
if generation and redis.call('GET', KEYS[2]) == state then return { 'serving', generation } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stage = tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[3]) == 0 then
  -- The last floor is kept where it can be: epochs that had ended must not come back.
  redis.call('HSET', KEYS[3], 'name', ARGV[7], 'since', string.format('%.0f', now), 'floor', generation and string.match(generation, '%d+$') or '0000000000000000')
  redis.call('PUBLISH', ARGV[8], ARGV[1])
end
-- What was done in another recovery does not count in this one.
local name = redis.call('HGET', KEYS[3], 'name')
if ARGV[9] ~= name then stage = 0 end
redis.call('DEL', KEYS[1])
redis.call('PEXPIRE', KEYS[3], 60000)
redis.call('HSET', KEYS[3], 'node:' .. ARGV[1], stage)
if ARGV[4] == '1' then redis.call('HSET', KEYS[3], 'isRemembered', 1) end
-- The data is older than what any node would still remember of topics that nobody listens to.
local clock = redis.call('GET', KEYS[4])
if clock and tonumber(ARGV[5]) - tonumber(clock) > tonumber(ARGV[10]) then
  redis.call('HSET', KEYS[3], 'isOld', 1)
end
local fields = redis.call('HGETALL', KEYS[3])
local hash, listened, published, verified = {}, 0, 0, 0
for i = 1, #fields, 2 do
  hash[fields[i]] = fields[i + 1]
  if string.sub(fields[i], 1, 5) == 'node:' then
    if tonumber(fields[i + 1]) >= 1 then listened = listened + 1 end
    if tonumber(fields[i + 1]) >= 2 then published = published + 1 end
    if tonumber(fields[i + 1]) >= 3 then verified = verified + 1 end
  end
end
local expected = math.max(tonumber(ARGV[2]), tonumber(hash.expected or '1'))
redis.call('HSET', KEYS[3], 'expected', expected)
local waited, patience = now - tonumber(hash.since), tonumber(ARGV[6])

if stage == 0 then return { 'listened', name } end
-- Most of the time is for those who listen: they have the most.
if listened < expected and waited < patience * 0.7 then return { 'wait', name } end
if stage == 1 then return { 'published', name } end
if published < expected and waited < patience * 0.85 then return { 'wait', name } end
if stage == 2 then return { 'verify', name } end
if verified < expected and waited < patience then return { 'wait', name } end

local floor = hash.floor
-- Nobody is left who would know what is missing, or not everybody has come to say so. The streams
-- may end too early, which no number would show: all topics get another epoch, and who was there before is told.
if not hash.isRemembered or hash.isOld or verified < expected then
  floor = epochAfter(floor)
end
generation = ARGV[7] .. ':' .. floor
redis.call('SET', KEYS[1], generation)
redis.call('SET', KEYS[2], state)
redis.call('DEL', KEYS[3])
redis.call('PUBLISH', ARGV[8], ARGV[1])
return { 'serving', generation }
