-- Restores the positions of topics if a node remembers their positions but no publications. If Redis has no history of
-- a topic, or only one that ended earlier, the topic continues at the remembered position. So no offset is used again,
-- and the subscribers need no reset.
--
-- KEYS[1]   generation. There is none while nodes restore what they remember
-- KEYS[2]   newest epoch
-- KEYS[3..] the topics' streams
-- ARGV[1]   minimum epoch: lower ones have ended
-- then for each topic: epoch, offset after which that epoch began ('' if the node does not know), offset, when the
-- stream expires, in ms from now
--
-- Returns how many positions were restored.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local minEpoch = ARGV[1]

-- Returns whether the position was restored.
local function restorePosition(stream, epoch, begun, offset, ttl)
  if epoch < minEpoch then return false end
  local last = storedLastId(stream)
  if last and epochOf(last) >= epoch then return false end
  if last and offsetOf(last) == offset and isContinued(last, begun) then
    redis.call('XSETID', stream, idOf(epoch, offset))
  else
    beginAt(stream, idOf(epoch, offset), ttl)
  end
  return true
end

local restored, at = 0, 2
for k = 3, #KEYS do
  local epoch, begun, offset, ttl = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if restorePosition(KEYS[k], epoch, begun, offset, ttl) then restored = restored + 1 end
  -- Epochs that Redis has lost must not be used again.
  if epoch > (redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], epoch) end
  at = at + 4
end
return restored
