-- Adds to a topic's stream the entries that Redis has lost and a node remembers. Existing entries do not change.
--
-- KEYS[1]  generation. There is none while nodes restore what they remember. If there is one, this node is too late: others may have
--          published since, and nothing is restored
-- KEYS[2]  newest epoch
-- KEYS[3]  the topic's stream
-- ARGV[1]  minimum epoch: lower ones have ended
-- ARGV[2]  when the stream expires, in ms from now
-- ARGV[3]  how long a messageId is remembered, in ms
-- ARGV[4]  epoch of the topic, as the node knows it
-- ARGV[5]  offset after which that epoch began, '' if the node does not know
-- then for each entry, in order: the epoch that it was published under, offset of its first publication, entry, number of messageIds, then
-- of each: place, messageId
--
-- Returns {position of the newest publication, 1 if anything was restored, else 0}. If Redis has a later epoch, the script restores
-- nothing. If there is a hole, it restores nothing after the hole, and the topic gets another epoch.
local stream = KEYS[3]
local minEpoch, ttl, window, epoch, begun = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local last = storedLastId(stream)
if epoch < minEpoch or redis.call('EXISTS', KEYS[1]) == 1 then return { last or '', 0 } end
local restored = 0
if not last or epochOf(last) < epoch and not isContinued(last, begun) then
  last = beginAt(stream, idOf(ARGV[6], tonumber(ARGV[7]) - 1), ttl)
  restored = 1
elseif epochOf(last) > epoch then
  return { last, 0 }
end
-- Epochs that were used before Redis lost its state must not be used again.
if epoch > (redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], epoch) end
local head, newest = offsetOf(last), epochOf(last)
local at = 6
while at <= #ARGV do
  local entryEpoch, first, entry, ids = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  at = at + 4
  -- No node has the publications between. The topic gets another epoch, so that their offsets are not used again for others.
  if first > head + 1 then return { renew(stream, idOf(epoch, head), minEpoch), 1 } end
  if entryEpoch > newest then newest = entryEpoch end
  local _, count = struct.unpack('>BH', entry)
  local there = head + 1 - first
  if there < count then
    local left, args = {}, {}
    for i = 1, ids do
      local place, text = ARGV[at + 2 * i - 2] - there, ARGV[at + 2 * i - 1]
      if place >= 0 then
        left[#left + 1] = { place = place, text = text }
        args[#args + 1] = text
        args[#args + 1] = idOf(newest, head + 1 + place)
      end
    end
    -- Another node has restored a part of the entry: add the rest.
    if there > 0 then
      local places = {}
      for place = 0, there - 1 do places[place] = true end
      entry, count = without(entry, places, left)
    end
    redis.call('XADD', stream, idOf(newest, head + 1), '', entry)
    head = head + count
    if count > 1 then redis.call('XSETID', stream, idOf(newest, head)) end
    restored = 1
    if #args > 0 then remember(stream .. ':ids', window, args) end
  end
  at = at + 2 * ids
end
if newest < epoch then redis.call('XSETID', stream, idOf(epoch, head)) end
keepAlive(stream, ttl)
return { idOf(epoch, head), restored }
