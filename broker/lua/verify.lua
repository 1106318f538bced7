-- Checks, after all nodes have restored what they remember, whether Redis still lacks publications that a node has delivered or
-- acknowledged. Later publications would get the same offsets, and subscribers would mistake them for known ones. So such a topic
-- gets another epoch, and its subscribers get a reset.
--
-- KEYS[1]   generation
-- KEYS[2]   newest epoch
-- KEYS[3..] the topics' streams
-- ARGV[1]   minimum epoch: lower ones have ended
-- then for each topic the newest position that the node knows: epoch, offset
--
-- Returns how many topics got another epoch.
local renewed, newest = 0, redis.call('GET', KEYS[2]) or '0'
for k = 3, #KEYS do
  local stream, epoch, offset = KEYS[k], ARGV[2 * k - 4], tonumber(ARGV[2 * k - 3])
  if epoch > newest then newest = epoch end
  local last = lastId(stream, ARGV[1])
  if last and (epochOf(last) < epoch or epochOf(last) == epoch and offsetOf(last) < offset) then
    renew(stream, last, ARGV[1])
    renewed = renewed + 1
  end
end
-- Epochs that Redis has lost must not be used again.
if newest > (redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], newest) end
return renewed
