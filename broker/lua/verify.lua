-- Looks, when all nodes have given back what they remember, whether Redis still lacks what a node has delivered. Offsets that are
-- missing would be given out again, and taken for those that were seen: such a topic gets another epoch, and subscribers are told.
--
-- KEYS     the topics' streams
-- ARGV[1]  floor: an epoch that is lower has ended
-- then for each topic the position up to which it was delivered: epoch, offset
--
-- Returns how many topics got another epoch.
local renewed = 0
for i, stream in ipairs(KEYS) do
  local last = lastId(stream, ARGV[1])
  if last and epochOf(last) == ARGV[2 * i] and offsetOf(last) < tonumber(ARGV[2 * i + 1]) then
    renew(stream, last, ARGV[1])
    renewed = renewed + 1
  end
end
return renewed
