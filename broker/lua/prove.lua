-- Looks whether a topic's stream holds what a node has published to it: that may have been on a server that is master no more. Where
-- something is missing, the topic gets another epoch, and all its subscribers are told: nobody else knows.
--
-- KEYS[1]  the topic's stream
-- ARGV[1]  floor: an epoch that is lower has ended
-- ARGV[2]  epoch of the entries
-- then for each entry: offset of its first publication, the entry (stream-entry.ts), number of messageIds, the messageIds. What has
-- messageIds is known by them, and the entry may be ''
--
-- Returns 1 where the topic got another epoch, else 0. What is not in a history that does not reach back so far may have been there.
local stream, epoch = KEYS[1], ARGV[2]
local last = lastId(stream, ARGV[1])
if not last then return 0 end

local function knows(from, count)
  local names = {}
  for i = 1, count do names[i] = ARGV[from + i - 1] end
  local recent = redis.call('HMGET', stream .. ':ids', unpack(names))
  local old = redis.call('HMGET', stream .. ':ids:old', unpack(names))
  for i = 1, count do
    if not recent[i] and not old[i] then return false end
  end
  return true
end

local function holds(first, entry)
  if epochOf(last) ~= epoch then
    -- What the topic had before stands under its new epoch.
    local rows = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1000)
    for _, row in ipairs(rows) do
      if row[2][2] == entry then return true end
    end
    return #rows == 1000
  end
  local id = idOf(epoch, first)
  local row = redis.call('XRANGE', stream, id, id)[1]
  if row then return row[2][2] == entry end
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return first <= offsetOf(last) and (not oldest or offsetOf(oldest[1]) > first)
end

local at = 3
while at <= #ARGV do
  local first, entry, ids = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  local isThere
  if ids > 0 then isThere = knows(at + 3, ids) else isThere = holds(first, entry) end
  if not isThere then
    renew(stream, last, ARGV[1])
    return 1
  end
  at = at + 3 + ids
end
return 0
