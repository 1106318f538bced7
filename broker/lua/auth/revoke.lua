#!lua flags=allow-oom
-- Adds a revocation. Allowed while Redis is full: otherwise a user who fills it could not be revoked. The number of
-- revocations is bounded.
--
-- KEYS[1]  revocations, a stream
-- KEYS[2]  generation of this Redis (recover.lua)
-- ARGV[1]  maximum number of revocations in the stream
-- ARGV[2]  kind: subject, tokenId or connection
-- ARGV[3]  the subject, token id or name of the connection
-- ARGV[4]  when it was revoked, Unix time in ms
-- ARGV[5]  until when it must be remembered, Unix time in ms
-- ARGV[6]  the version of the map of partitions in which this Redis has partition 0 and keeps it
--
-- Returns the id of the entry.
-- Error TOOMANY: the stream is full, and nothing was done.
-- Error STALE: partition 0 has moved to another Redis or is about to, and nothing was done. What was written before the
-- fence was raised (shards/fence.lua) is read by all nodes before they leave this Redis.
local fence = string.match(redis.call('GET', KEYS[2]) or '', '%.(%d+):')
if fence and tonumber(fence) > tonumber(ARGV[6]) then
  return redis.error_reply('STALE the revocations move to another Redis')
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return redis.error_reply('TOOMANY ' .. ARGV[1] .. ' revocations')
end
return redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3], 'at', ARGV[4], 'until', ARGV[5])
