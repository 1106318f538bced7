-- The last part of publish.lua, which documents the inputs and the answer. Publishes the runs from KEYS[k] on, whatever
-- they need.
local minEpoch, window = ARGV[2], tonumber(ARGV[3])

local function add(stream, epoch, entry)
  return redis.pcall('XADD', stream, 'NOMKSTREAM', epoch .. '-*', '', entry)
end

-- Removes entries before an offset. The entry that holds the offset may begin before it, and is kept whole.
local function trim(stream, epoch, oldest)
  local id = entryAt(stream, epoch, tonumber(oldest))
  if id then redis.call('XTRIM', stream, 'MINID', '~', id) end
end

-- The messageIds of the run that the topic has had already: place in the run -> position; nil if there are none.
local function findKnown(recentIds, oldIds, from, count)
  local names = {}
  for i = 1, count do names[i] = ARGV[from + 2 * i - 1] end
  local recent = redis.call('HMGET', recentIds, unpack(names))
  local old = redis.call('HMGET', oldIds, unpack(names))
  local known
  for i = 1, count do
    local before = recent[i] or old[i]
    if before then
      known = known or {}
      known[tonumber(ARGV[from + 2 * i - 2])] = before
    end
  end
  return known
end

-- The unknown messageIds, with their places among the remaining publications.
local function unknownIds(known, from, count)
  local ids, gone = {}, 0
  for i = 1, count do
    local place = tonumber(ARGV[from + 2 * i - 2])
    if known[place] then
      gone = gone + 1
    else
      ids[#ids + 1] = { place = place - gone, text = ARGV[from + 2 * i - 1] }
    end
  end
  return ids
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

-- The messageIds of a run and their positions, as `remember` takes them. `fresh`: the unknown ones, if some are known.
local function placedIds(epoch, first, fresh, from, count)
  local args = {}
  if fresh then
    for i, id in ipairs(fresh) do
      args[2 * i - 1] = id.text
      args[2 * i] = idOf(epoch, first + id.place)
    end
  else
    for i = 1, 2 * count, 2 do
      args[i] = ARGV[from + i]
      args[i + 1] = idOf(epoch, first + ARGV[from + i - 1])
    end
  end
  return args
end

-- Call it after an entry was added to a stream. Moves the last id to the end of the run, and remembers the messageIds.
-- With `window`, also checks whether old ones can be forgotten.
local function finish(stream, id, epoch, count, window, fresh, from, idCount, recentIds, oldIds)
  if count == 1 and idCount == 0 then return end
  local first = offsetOf(id)
  -- The entry's id has the offset of its first publication. The id of the next entry must follow the offset of its last
  -- publication.
  if count > 1 then redis.call('XSETID', stream, idOf(epoch, first + count - 1)) end
  local args = placedIds(epoch, first, fresh, from, idCount)
  if #args > 0 then remember(recentIds, oldIds, window, args) end
end

-- The answer for a run if some of its messageIds were known.
local function withKnown(answer, known, from, count)
  local all = { answer }
  for i = 1, count do all[i + 1] = known[tonumber(ARGV[from + 2 * i - 2])] or '' end
  return all
end

local hasKnown, hasWritten = false, k > 4
while k <= #KEYS do
  local stream, recentIds, oldIds = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local epoch, oldest, ttl, count, entry = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4]
  local rotates, idCount, from = ARGV[at + 5] ~= '', tonumber(ARGV[at + 6]), at + 7
  local known = idCount > 0 and findKnown(recentIds, oldIds, from, idCount)
  local fresh
  if known then
    fresh = unknownIds(known, from, idCount)
    entry, count = without(entry, known, fresh)
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
    finish(stream, answer, epoch, count, rotates and window, fresh, from, idCount, recentIds, oldIds)
    redis.call('SPUBLISH', stream, answer .. ' ' .. entry)
  end
  if known and type(answer) == 'string' then answer = withKnown(answer, known, from, idCount) end
  answers[#answers + 1] = answer
  k, at = k + (idCount > 0 and 3 or 1), from + 2 * idCount
end
-- Since Redis 7.2, WAIT waits only for the connection's last write. If nothing was written because all publications
-- were known, it would return at once, even if no replica has them. So this writes the same value again.
if ARGV[4] == '1' and hasKnown and not hasWritten and redis.pcall('SET', KEYS[1], ARGV[1]).err then
  return redis.error_reply('UNPROVEN the publications are known, but Redis takes no writes')
end
return answers
