-- The newest publications of a topic, or the newest before an offset.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the topic's stream
-- ARGV[1]  minimum epoch: lower ones have ended
-- ARGV[2]  epoch, or '' for the topic's epoch
-- ARGV[3]  offset of the last publication that is wanted; '' for the newest
-- ARGV[4]  publications that are wanted
-- ARGV[5]  maximum bytes of entries to return; the first entry is returned even if it is longer
--
-- Returns {position of the newest publication, entry…}, an entry as {id, {'', entry}}, the newest first; there may be
-- more. The first one may end after the wanted offset. If the topic has another epoch, there are no entries. An empty
-- array if the topic has no history.
local stream = KEYS[3]
local last = lastId(stream, ARGV[1])
if not last then return {} end
local answer = { last }
local epoch = epochOf(last)
if ARGV[2] == '' or ARGV[2] == epoch then
  local newest = math.min(tonumber(ARGV[3]) or math.huge, offsetOf(last))
  local from = entryAt(stream, epoch, newest)
  if from then addEntries(answer, 'XREVRANGE', stream, from, '-', newest + 1, tonumber(ARGV[4]), tonumber(ARGV[5])) end
end
return answer
