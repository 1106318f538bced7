-- Checks, after all nodes have restored what they remember, whether Redis still lacks publications that a node has
-- delivered or acknowledged. Later publications would get the same offsets, and subscribers would mistake them for
-- known ones. So such a topic gets another epoch, and its subscribers get a reset.
--
-- KEYS[1]   generation
-- KEYS[2]   newest epoch
-- KEYS[3..] the topics' streams
-- ARGV[1]   minimum epoch: lower ones have ended
-- then for each topic the newest position that the node knows: epoch, offset
--
-- Returns how many topics got another epoch.
local minEpoch = ARGV[1]

-- Whether a stream that ends at `last` lacks the publication at a position.
local function lacks(last, epoch, offset)
  return epochOf(last) < epoch or epochOf(last) == epoch and offsetOf(last) < offset
end

local renewed, newest, at = 0, '0', 2
for k = 3, #KEYS do
  local epoch, offset = ARGV[at], tonumber(ARGV[at + 1])
  local last = lastId(KEYS[k], minEpoch)
  if last and lacks(last, epoch, offset) then
    renew(KEYS[k], last, minEpoch)
    renewed = renewed + 1
  end
  if epoch > newest then newest = epoch end
  at = at + 2
end
-- Epochs that Redis has lost must not be used again.
if newest > (redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], newest) end
return renewed
