-- Where a topic stands, and what came after a position. A topic without a history gets one: who subscribes needs a position.
--
-- KEYS[1]  the topic's stream
-- KEYS[2]  generation
-- ARGV[1]  floor: an epoch that is lower has ended
-- ARGV[2]  how long the stream lives on from now, in ms
-- ARGV[3]  epoch of the position; '' where only the topic's own position is wanted
-- ARGV[4]  offset of the first publication that is wanted
-- ARGV[5]  most entries to answer with
-- ARGV[6]  the generation that the node knows
-- ARGV[7]  1 to give the topic another epoch first, where it has that of the position: what it holds is not what the node knows
--
-- Returns {position of the newest publication, entry…}, an entry as {id, {'', entry}}, in order. The first one may begin
-- before what is wanted. Of another epoch than the topic's there are none.
-- Error STALE: there is no history, and the generation is another one: it may be lost and not given back yet.
local stream = KEYS[1]
local last = lastId(stream, ARGV[1])
if last then
  if ARGV[7] == '1' and ARGV[3] == epochOf(last) then last = renew(stream, last, ARGV[1]) end
  redis.call('PEXPIRE', stream, ARGV[2])
elseif redis.call('GET', KEYS[2]) ~= ARGV[6] then
  return redis.error_reply('STALE the generation is another one')
else
  -- Who asks for many topics that nobody publishes to is not to fill Redis for long; where someone stays subscribed, it is kept alive.
  last = begin(stream, ARGV[1], math.min(tonumber(ARGV[2]), 60000))
end
local answer = { last }
if ARGV[3] == epochOf(last) then
  local wanted = ARGV[3] .. '-' .. ARGV[4]
  -- An entry is found by its first publication: the one that holds the wanted one may have begun before it.
  local around = redis.call('XREVRANGE', stream, wanted, '-', 'COUNT', 1)
  local from = around[1] and around[1][1] or wanted
  for i, entry in ipairs(redis.call('XRANGE', stream, from, '+', 'COUNT', ARGV[5])) do answer[i + 1] = entry end
end
return answer
