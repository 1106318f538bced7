-- Publishes runs of publications, each of one topic. It numbers them without holes, adds them to the topic's stream,
-- and sends them to every node that listens. All of this is one atomic step.
--
-- The script has four parts: message-ids.lua, this file, stream.lua and publish-rest.lua. Redis creates the functions
-- of the last two in each call that reaches them. That takes a third of the time of a call with one run. So this file
-- comes before them, and does what most calls need.
--
-- KEYS[1]   generation
-- KEYS[2]   newest epoch
-- KEYS[3]   state of the server (stateOfServer in stream.lua) in which the generation was last found complete
-- KEYS[4..] for each run: the topic's stream, which is also the name of its pub/sub channel (a topic may occur several
--           times). A run with messageIds has two more keys: the recent messageIds of the topic and the older ones.
--           Every key is named: in a Redis Cluster, a slot that moves may lack one of them, and Redis then refuses the
--           whole call
-- ARGV[1]   the generation that the node knows; its fence may be higher than that of Redis
-- ARGV[2]   its minimum epoch: lower ones have ended
-- ARGV[3]   how long a messageId is remembered, in ms
-- ARGV[4]   1 if WAIT follows, or ''
-- then for each run:
--   epoch of the topic, or '' if the node does not know it
--   offset before which the stream may be trimmed; '' leaves the stream as it is
--   when the stream expires, in ms from now; a negative number applies only to a stream that is created now
--   number of publications
--   the entry (stream-entry.ts): version, count, length of the run, run, messageIds
--   1 to check whether old messageIds can be forgotten, or ''
--   number of groups of messageIds, then the groups (message-ids.lua)
--
-- Returns for each run one of
--   'epoch-offset' of its first publication
--   {'epoch-offset', or '' if no publication was left, then for each messageId: '' or the position at which it was
--     published before}: publications that are known already were left out
--   an error: nothing of this run was done
-- Error STALE: Redis has a different generation, or may have lost data. Nothing was done at all.
-- Error UNPROVEN: all publications are already known, but the script cannot find out whether replicas have them.
-- If a topic's stream is gone, its history has ended, and another one begins with another epoch.
local generation = redis.call('GET', KEYS[1])
if generation ~= ARGV[1] then
  -- As `mayUse` in stream.lua, which this part of the script does not have.
  local recovery, fence, minEpoch = string.match(generation or '', '^([^:.]+)%.?(%d*)(:.*)$')
  local known, newest, minEpochOfNode = string.match(ARGV[1], '^([^:.]+)%.?(%d*)(:.*)$')
  local isSame = recovery and recovery == known and minEpoch <= minEpochOfNode
  if not isSame or (tonumber(fence) or 0) > (tonumber(newest) or 0) then
    return redis.error_reply('STALE Redis has a different generation')
  end
end
-- Each call checks this, although it takes a third of the time of a call. A server can become a replica, load older data
-- and become a master again within 5 ms, and a call can be on its way for longer than that. The first 40 characters of
-- the state (the run id) need no check: a server that has restarted has another `master_replid` too.
local dataId = string.sub(redis.call('GET', KEYS[3]) or '', 41)
if dataId == '' or not string.find(redis.call('INFO', 'replication'), 'master_replid' .. dataId, 1, true) then
  return redis.error_reply('STALE Redis has restarted or was a replica')
end

-- The mark of the generation (generation.ts): without it, nodes could deliver an entry that a replaced server has sent
-- instead of the one that has its place now.
local window, answers, mark = tonumber(ARGV[3]), {}, ' ' .. string.sub(ARGV[1], 1, 6) .. ' '
-- The next run: its key, and where its arguments begin.
local k, at = 4, 5

-- Publishes the next run if nothing needs to be done in addition: the node knows the epoch, the stream is not trimmed,
-- its expiry is not extended, and no messageId is known. Its groups of messageIds are ARGV[from] to ARGV[to]. Returns
-- nil if more must be done; then it has done nothing.
local function publishUsual(from, to)
  local epoch, oldest, ttl, count, entry = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if epoch == '' or oldest ~= '' or string.byte(ttl) ~= 45 then return nil end
  local stream, recentIds, oldIds = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local ids = from < to and readIds(recentIds, oldIds, ARGV, from, to)
  if ids and findKnown(ids, ARGV, from, to) then return nil end
  local id = redis.pcall('XADD', stream, 'NOMKSTREAM', epoch .. '-*', '', entry)
  if type(id) ~= 'string' then return nil end
  local first = string.sub(id, #epoch + 2)
  -- As in publish-rest.lua.
  if count ~= '1' then redis.call('XSETID', stream, idOf(epoch, first + count - 1)) end
  if ids then remember(recentIds, oldIds, ARGV[at + 5] ~= '' and window, ids, ARGV, from, to, epoch, first) end
  redis.call('SPUBLISH', stream, id .. mark .. entry)
  return id
end

while k <= #KEYS do
  local from, to = at + 7, at + 6 + 3 * ARGV[at + 6]
  local id = publishUsual(from, to)
  if not id then break end
  answers[#answers + 1] = id
  k, at = k + (from < to and 3 or 1), to + 1
end
if k > #KEYS then return answers end
