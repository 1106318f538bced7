-- Looks whether the topics' streams hold what a node published last, which may have been on a server that is master no more. A topic
-- whose stream does not gets another epoch, and all its subscribers are told: nobody else knows that something is missing.
--
-- KEYS     the topics' streams
-- ARGV[1]  floor: an epoch that is lower has ended
-- then for each topic: the entry (stream-entry.ts), and a messageId of it or ''
--
-- Returns how many topics got another epoch.
local renewed = 0

local function holds(stream, entry, messageId)
  if messageId ~= '' then
    return redis.call('HEXISTS', stream .. ':ids', messageId) == 1 or redis.call('HEXISTS', stream .. ':ids:old', messageId) == 1
  end
  for _, row in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1000)) do
    if row[2][2] == entry then return true end
  end
  return false
end

for i, stream in ipairs(KEYS) do
  local last = lastId(stream, ARGV[1])
  if last and not holds(stream, ARGV[2 * i], ARGV[2 * i + 1]) then
    renew(stream, last, ARGV[1])
    renewed = renewed + 1
  end
end
return renewed
