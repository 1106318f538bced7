-- Adds to a topic's stream the entries that Redis has lost and a node remembers. Existing entries do not change.
--
-- KEYS[1]  generation. There is none while nodes restore what they remember. If there is one, this node is too late:
--          others may have published since, and nothing is restored
-- KEYS[2]  newest epoch
-- KEYS[3]  the topic's stream
-- KEYS[4]  its recent messageIds
-- KEYS[5]  its older messageIds
-- ARGV[1]  minimum epoch: lower ones have ended
-- ARGV[2]  when the stream expires, in ms from now
-- ARGV[3]  how long a messageId is remembered, in ms
-- ARGV[4]  epoch of the topic, as the node knows it
-- ARGV[5]  offset after which that epoch began, '' if the node does not know
-- then for each entry, in order: the epoch that it was published under, offset of its first publication, entry, number
-- of groups of messageIds, the groups (message-ids.lua)
--
-- Returns {position of the newest publication, 1 if anything was restored, else 0}. If Redis has a later epoch, the
-- script restores nothing. If there is a hole, it restores nothing after the hole, and the topic gets another epoch.

local generationKey, newestEpochKey, stream = KEYS[1], KEYS[2], KEYS[3]
local minEpoch, ttl, window, epoch, begun = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local firstEntry = 6

-- Adds an entry to the end of the stream. Returns the offset of its last publication.
local function append(entryEpoch, first, entry, count, groups, from, to)
  redis.call('XADD', stream, idOf(entryEpoch, first), '', entry)
  local last = first + count - 1
  if count > 1 then redis.call('XSETID', stream, idOf(entryEpoch, last)) end
  if from < to then
    local ids = readIds(KEYS[4], KEYS[5], groups, from, to)
    remember(KEYS[4], KEYS[5], window, ids, groups, from, to, entryEpoch, first)
  end
  return last
end

local last = storedLastId(stream)
if epoch < minEpoch or redis.call('EXISTS', generationKey) == 1 then return { last or '', 0 } end
local restored = 0
if not last or epochOf(last) < epoch and not isContinued(last, begun) then
  -- The history is gone, or Redis has only one that ended earlier. It begins again with the first entry.
  last = beginAt(stream, idOf(ARGV[firstEntry], tonumber(ARGV[firstEntry + 1]) - 1), ttl)
  restored = 1
elseif epochOf(last) > epoch then
  return { last, 0 }
end
-- Epochs that were used before Redis lost its state must not be used again.
if epoch > (redis.call('GET', newestEpochKey) or '0') then redis.call('SET', newestEpochKey, epoch) end

-- `head`: offset of the newest publication in the stream. `streamEpoch`: the epoch of the stream so far.
local head, streamEpoch = offsetOf(last), epochOf(last)
local at = firstEntry
while at <= #ARGV do
  local entryEpoch, first, entry = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local groups, from, to = ARGV, at + 4, at + 3 + 3 * ARGV[at + 3]
  at = to + 1
  -- No node has the publications between. The topic gets another epoch, so that their offsets are not used again for
  -- others.
  if first > head + 1 then return { renew(stream, idOf(epoch, head), minEpoch), 1 } end
  if entryEpoch > streamEpoch then streamEpoch = entryEpoch end
  local count = countOf(entry)
  -- How many publications of the entry are in the stream already: another node has restored a part of it, or all.
  local there = head + 1 - first
  if there < count then
    if there > 0 then
      local places = {}
      for place = 0, there - 1 do places[place] = true end
      groups = idsWithout(places, groups, from, to)
      from, to = 1, #groups
      entry, count = without(entry, places, groups)
    end
    head = append(streamEpoch, head + 1, entry, count, groups, from, to)
    restored = 1
  end
end
if streamEpoch < epoch then redis.call('XSETID', stream, idOf(epoch, head)) end
keepAlive(stream, ttl)
return { idOf(epoch, head), restored }
