-- Where topics stand; keeps their streams alive.
--
-- KEYS     the topics' streams
-- ARGV[1]  floor: an epoch that is lower has ended
-- ARGV[2…] for each topic: how long its stream lives on from now, in ms
--
-- Returns for each topic the position of its newest publication, or '' where it has no history.
local answer = {}
for i, stream in ipairs(KEYS) do
  local last = lastId(stream, ARGV[1])
  if last then redis.call('PEXPIRE', stream, ARGV[i + 1]) end
  answer[i] = last or ''
end
return answer
