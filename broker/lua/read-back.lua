-- The newest publications of a topic, or the newest before an offset.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the topic's stream
-- ARGV[1]  floor: an epoch that is lower has ended
-- ARGV[2]  epoch; '' for whichever the topic has
-- ARGV[3]  offset of the last publication that is wanted; '' for the newest
-- ARGV[4]  most entries to answer with
--
-- Returns {position of the newest publication, entry…}, an entry as {id, {'', entry}}, the newest first; the first one may
-- continue after what is wanted. If the topic has another epoch there are no entries. An empty array if the topic has no history.
local stream = KEYS[3]
local last = lastId(stream, ARGV[1])
if not last then return {} end
local answer = { last }
local epoch = epochOf(last)
if ARGV[2] == '' or ARGV[2] == epoch then
  local from = '+'
  if ARGV[3] ~= '' then from = entryAt(stream, epoch, tonumber(ARGV[3])) end
  if from then
    for i, entry in ipairs(redis.call('XREVRANGE', stream, from, '-', 'COUNT', ARGV[4])) do answer[i + 1] = entry end
  end
end
return answer
