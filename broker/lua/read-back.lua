-- The newest publications of a topic, or the newest before an offset.
--
-- KEYS[1]  the topic's stream
-- ARGV[1]  floor: an epoch that is lower has ended
-- ARGV[2]  epoch; '' for whichever the topic has
-- ARGV[3]  offset of the last publication that is wanted; '' for the newest
-- ARGV[4]  most entries to answer with
--
-- Returns {position of the newest publication, entry…}, an entry as {id, {'', entry}}, the newest first; the first one may go
-- on behind what is wanted. Of another epoch than the topic's there are none. An empty array where the topic has no history.
local last = lastId(KEYS[1], ARGV[1])
if not last then return {} end
local answer = { last }
local epoch = epochOf(last)
if ARGV[2] == '' or ARGV[2] == epoch then
  local from = ARGV[3] == '' and '+' or epoch .. '-' .. ARGV[3]
  for i, entry in ipairs(redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', ARGV[4])) do answer[i + 1] = entry end
end
return answer
