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
-- then for each entry: offset of its first publication, the entry (stream-entry.ts), number of groups of messageIds, the
-- groups (message-ids.lua). If an entry has messageIds, the script finds it by them, and the entry may be ''. If it is
-- '' and has no messageIds, it cannot be proved
--
-- Returns 1 if the topic got another epoch, else 0. A publication older than the whole history counts as present.
local stream, epoch = KEYS[3], ARGV[2]
local last = lastId(stream, ARGV[1])
if not last then return 0 end

local function knows(from, to)
  local known, count = findKnown(readIds(KEYS[4], KEYS[5], ARGV, from, to), ARGV, from, to) or {}, 0
  for i = from, to, 3 do count = count + #ARGV[i + 1] end
  for _ in pairs(known) do count = count - 1 end
  return count == 0
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
  local first, entry, from, to = tonumber(ARGV[at]), ARGV[at + 1], at + 3, at + 2 + 3 * ARGV[at + 2]
  local isThere
  if from < to then isThere = knows(from, to) else isThere = holds(first, entry) end
  if not isThere then
    renew(stream, last, ARGV[1])
    return 1
  end
  at = to + 1
end
return 0
