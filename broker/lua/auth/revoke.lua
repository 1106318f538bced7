#!lua flags=allow-oom
-- Adds a revocation. Allowed while Redis is full: otherwise a user who fills it could not be revoked. The number of
-- revocations is bounded.
--
-- KEYS[1]  revocations, a stream
-- ARGV[1]  maximum number of revocations in the stream
-- ARGV[2]  kind: subject, tokenId or connection
-- ARGV[3]  the subject, token id or name of the connection
-- ARGV[4]  when it was revoked, Unix time in ms
-- ARGV[5]  until when it must be remembered, Unix time in ms
--
-- Returns the id of the entry.
-- Error TOOMANY: the stream is full, and nothing was done.
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return redis.error_reply('TOOMANY ' .. ARGV[1] .. ' revocations')
end
return redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3], 'at', ARGV[4], 'until', ARGV[5])
