-- Returns the positions of topics, and extends the expiry of their streams.
--
-- KEYS[1]   generation
-- KEYS[2]   newest epoch
-- KEYS[3..] the topics' streams
-- ARGV[1]   minimum epoch: lower ones have ended
-- ARGV[2..] for each topic: when its stream expires, in ms from now
--
-- Returns for each topic the position of its newest publication, or '' if it has no history.
local answer = {}
for k = 3, #KEYS do
  local last = lastId(KEYS[k], ARGV[1])
  if last then keepAlive(KEYS[k], ARGV[k - 1]) end
  answer[k - 2] = last or ''
end
return answer
