-- Runs commands, if `fanfare shards` still has the lock: as one atomic step, because another command could take the lock
-- between the check and the commands.
--
-- KEYS[1]  the lock of the map
-- ARGV[1]  who must have it
-- then for each command: how many words it has, and the words
--
-- Returns the reply of each command. Error LOCKLOST: nothing was done.
if not mayChange(KEYS[1], ARGV[1], '', '') then return redis.error_reply(lockLost) end
local replies, at = {}, 2
while at <= #ARGV do
  local last = at + ARGV[at]
  replies[#replies + 1] = redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return replies
