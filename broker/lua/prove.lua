-- Checks whether a topic's stream holds the publications of a node. The server that accepted them may no longer be the
-- master. If something is missing, no other node knows it. The topic gets another epoch, and all its subscribers get a
-- reset.
--
-- KEYS[1]  generation
-- KEYS[2]  newest epoch
-- KEYS[3]  the topic's stream
-- KEYS[4]  its recent messageIds
-- KEYS[5]  its older messageIds
-- ARGV[1]  minimum epoch: lower ones have ended
-- ARGV[2]  epoch of the entries
-- then for each entry: offset of its first publication, the entry (stream-entry.ts), number of messageIds, the
-- messageIds. If an entry has messageIds, the script finds it by them, and the entry may be ''. If it is '' and has no
-- messageIds, it cannot be proved
--
-- Returns 1 if the topic got another epoch, else 0. A publication older than the whole history counts as present.
local stream, epoch = KEYS[3], ARGV[2]
local last = lastId(stream, ARGV[1])
if not last then return 0 end

local function knows(from, count)
  local names = {}
  for i = 1, count do names[i] = ARGV[from + i - 1] end
  local recent = redis.call('HMGET', KEYS[4], unpack(names))
  local old = redis.call('HMGET', KEYS[5], unpack(names))
  for i = 1, count do
    if not recent[i] and not old[i] then return false end
  end
  return true
end

local function holds(first, entry)
  local id = idOf(epoch, first)
  local row = redis.call('XRANGE', stream, id, id)[1]
  if row then return row[2][2] == entry end
  if entry == '' or epochOf(last) ~= epoch then return false end
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
