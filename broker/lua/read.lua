-- The position of a topic, and what was published after another position. A topic without a history gets one: a
-- subscriber needs a position.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the topic's stream
-- ARGV[1]  minimum epoch: lower ones have ended
-- ARGV[2]  when the stream expires, in ms from now
-- ARGV[3]  epoch of the position; '' if only the topic's own position is wanted
-- ARGV[4]  offset of the first publication that is wanted
-- ARGV[5]  publications that are wanted
-- ARGV[6]  maximum bytes of entries to return; the first entry is returned even if it is longer
-- ARGV[7]  the generation that the node knows
-- ARGV[8]  1 to give the topic another epoch first, if it has the epoch of the position: it lacks publications that the
--          node knows
--
-- Returns {position of the newest publication, entry…}, an entry as {id, {'', entry}}, in order; there may be more. If
-- the topic has the epoch of the position, these are the entries from the wanted offset; the first one may begin before
-- it. If the topic has another epoch, this is the first entry of that epoch, which shows where it began. Error STALE:
-- there is no history, and Redis has a different generation. The history may be lost and not restored yet.
local stream = KEYS[3]
local last = lastId(stream, ARGV[1])
if last then
  if ARGV[8] == '1' and ARGV[3] == epochOf(last) then last = renew(stream, last, ARGV[1]) end
  keepAlive(stream, ARGV[2])
elseif not mayUse(redis.call('GET', KEYS[1]), ARGV[7]) then
  return redis.error_reply('STALE Redis has a different generation')
else
  -- A client that asks for many topics without publications must not fill Redis for long. Nodes with subscribers extend
  -- the expiry.
  last = begin(stream, ARGV[1], math.min(tonumber(ARGV[2]), 60000))
end
local answer = { last }
if ARGV[3] ~= '' then
  local epoch, wanted, publications = epochOf(last), tonumber(ARGV[4]), tonumber(ARGV[5])
  local from = idOf(epoch, 0)
  if ARGV[3] == epoch then
    -- An entry is found by its first publication. The entry that holds the wanted publication may begin before it.
    local id, entry = entryAt(stream, epoch, wanted)
    from = id or '-'
    if id and offsetOf(id) + countOf(entry) <= wanted then from = '(' .. id end
  else
    wanted, publications = 0, 1
  end
  addEntries(answer, 'XRANGE', stream, from, '+', wanted, publications, tonumber(ARGV[6]))
end
return answer
