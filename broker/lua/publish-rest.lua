-- The last part of publish.lua, which documents the inputs and the answer. Publishes the runs from KEYS[k] on, whatever
-- they need.
local minEpoch = ARGV[2]

local function add(stream, epoch, entry)
  return redis.pcall('XADD', stream, 'NOMKSTREAM', epoch .. '-*', '', entry)
end

-- Removes entries before an offset. The entry that holds the offset may begin before it, and is kept whole.
local function trim(stream, epoch, oldest)
  local id = entryAt(stream, epoch, tonumber(oldest))
  if id then redis.call('XTRIM', stream, 'MINID', '~', id) end
end

-- Whether an error shows that the node does not know this stream: it has another epoch, or the key is not a stream.
local function isAnother(added)
  return type(added) == 'table' and (string.find(added.err, 'equal or smaller', 1, true) or string.find(added.err, 'WRONGTYPE', 1, true))
end

-- Adds an entry to a stream whose epoch the node may not know. Returns the entry's id or an error, and the epoch.
local function publish(stream, epoch, ttl, entry)
  local added = epoch ~= '' and add(stream, epoch, entry)
  if not added or isAnother(added) then
    epoch = epochOf(lastId(stream, minEpoch) or begin(stream, minEpoch, ttl))
    added = add(stream, epoch, entry)
  end
  return added, epoch
end

-- The answer for a run if some of its messageIds were known.
local function withKnown(answer, known, from, to)
  local all = { answer }
  for i = from, to, 3 do
    for place = ARGV[i + 2], ARGV[i + 2] + #ARGV[i + 1] - 1 do all[#all + 1] = known[place] or '' end
  end
  return all
end

local hasKnown, hasWritten = false, k > 4
while k <= #KEYS do
  local stream, recentIds, oldIds = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local epoch, oldest, ttl, count, entry = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4]
  local rotates, from, to = ARGV[at + 5] ~= '', at + 7, at + 6 + 3 * ARGV[at + 6]
  local ids = from < to and readIds(recentIds, oldIds, ARGV, from, to)
  local known = ids and findKnown(ids, ARGV, from, to)
  -- The groups of the unknown messageIds.
  local groups, first, last = ARGV, from, to
  if known then
    groups = idsWithout(known, ARGV, from, to)
    first, last = 1, #groups
    entry, count = without(entry, known, groups)
  end
  local answer = ''
  if count == 0 then
    hasKnown = true
  else
    answer, epoch = publish(stream, epoch, ttl, entry)
  end
  -- Otherwise Redis refused the entry, and nothing of the run was done.
  local isAdded = count > 0 and type(answer) == 'string'
  if isAdded then
    hasWritten = true
    if oldest ~= '' then trim(stream, epoch, oldest) end
    if ttl > 0 then redis.call('PEXPIRE', stream, ttl) end
    -- The entry's id has the offset of its first publication. The id of the next entry must follow the offset of its last
    -- publication.
    if count > 1 then redis.call('XSETID', stream, idOf(epoch, offsetOf(answer) + count - 1)) end
    if first < last then
      remember(recentIds, oldIds, rotates and window, ids, groups, first, last, epoch, offsetOf(answer))
    end
    redis.call('SPUBLISH', stream, answer .. mark .. entry)
  end
  if known and type(answer) == 'string' then answer = withKnown(answer, known, from, to) end
  answers[#answers + 1] = answer
  k, at = k + (ids and 3 or 1), to + 1
end
-- Since Redis 7.2, WAIT waits only for the connection's last write. If nothing was written because all publications
-- were known, it would return at once, even if no replica has them. So this writes the same value again.
if ARGV[4] == '1' and hasKnown and not hasWritten and redis.pcall('SET', KEYS[1], ARGV[1]).err then
  return redis.error_reply('UNPROVEN the publications are known, but Redis takes no writes')
end
return answers
