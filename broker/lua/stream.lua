-- Functions that the scripts share. The node puts this file, after message-ids.lua, in front of each script
-- (publish.lua: in the middle).
--
-- A stream entry holds a run of publications. Its id is <epoch>-<offset of the run's first publication>. The last id of
-- the stream is the position of the topic's newest publication: XSETID moves it to the end of the run.
--
-- An epoch has 16 digits (µs since 1970, by the clock of Redis), so epochs compare as text. No two histories of a topic
-- share one, and a later one is always greater. If a history gets another epoch, its entries keep their old epoch, and
-- offsets continue. So a stream may hold entries of several epochs, in order. The last id has the epoch of the topic.
--
-- In each script that calls these functions: KEYS[1] is the generation, KEYS[2] the newest epoch of any topic.

local function epochOf(id)
  return string.match(id, '^%d+')
end

local function offsetOf(id)
  return tonumber(string.match(id, '%d+$'))
end

-- Whether a node that knows this generation may write. `stored` is the generation of Redis, or false. Both are
-- '<recovery>:<minimum epoch>', with '.<fence>' after the recovery if partitions have moved (shards/fence.lua). The
-- fence of Redis is the lowest version of the map of partitions with which nodes may write. A node that knows a newer
-- map may be ahead of it. The minimum epoch of Redis may be lower than the node's: a partition is being copied to it
-- (shards/accept.lua), which the node does not use before it has asked for the generation.
local function mayUse(stored, known)
  if stored == known then return true end
  local form = '^([^:.]+)%.?(%d*)(:.*)$'
  local recovery, fence, minEpoch = string.match(stored or '', form)
  local recoveryOfNode, fenceOfNode, minEpochOfNode = string.match(known, form)
  if not recovery or recovery ~= recoveryOfNode or minEpoch > minEpochOfNode then return false end
  return (tonumber(fence) or 0) <= (tonumber(fenceOfNode) or 0)
end

-- An epoch after `last` and after every epoch that was used before, even if the clock of this server was ahead then.
local function epochAfter(last)
  local now = redis.call('TIME')
  local newest = redis.call('GET', KEYS[2]) or '0'
  local epoch = string.format('%016.0f', math.max(now[1] * 1000000 + now[2], tonumber(last) + 1, tonumber(newest) + 1))
  redis.call('SET', KEYS[2], epoch)
  return epoch
end

-- Creates an empty stream that continues after `id`. XADD would create one with an entry in it, for which Redis
-- reserves 4 KiB.
local function beginAt(stream, id, ttl)
  -- Deletes only what exists: after its first write, a script is no longer refused if Redis is out of memory.
  if redis.call('EXISTS', stream) == 1 then redis.call('DEL', stream) end
  redis.call('XGROUP', 'CREATE', stream, 'none', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', stream, 'none')
  redis.call('XSETID', stream, id)
  redis.call('PEXPIRE', stream, math.abs(ttl))
  return id
end

-- Begins a new history.
local function begin(stream, minEpoch, ttl)
  return beginAt(stream, idOf(epochAfter(minEpoch), 0), ttl)
end

-- Gives a history another epoch. Its publications can still be read; earlier positions are no longer valid.
local function renew(stream, last, minEpoch)
  local id = idOf(epochAfter(math.max(epochOf(last), minEpoch)), offsetOf(last))
  redis.call('XSETID', stream, id)
  return id
end

-- Whether a history of an older epoch is the beginning of a history whose epoch began after the offset `begun` (nil if
-- unknown). If it is not, the older history ended, or it continued differently from what Redis has.
local function isContinued(last, begun)
  return begun ~= nil and offsetOf(last) <= begun
end

-- The last id of a stream as it is; nil if there is no stream.
local function storedLastId(stream)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return nil end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

-- The last id of a stream; nil if there is no stream. If its epoch has ended, the stream gets a new epoch.
local function lastId(stream, minEpoch)
  local last = storedLastId(stream)
  if last and epochOf(last) < minEpoch then return renew(stream, last, minEpoch) end
  return last
end

-- Extends the expiry of a stream to at least `ttl` ms from now. A later expiry is not shortened.
local function keepAlive(stream, ttl)
  redis.call('PEXPIRE', stream, ttl, 'GT')
end

-- Returns the entry that holds the publication at `offset`, and its id. If no entry holds it, returns the last entry
-- before it, or nil. `epoch` is the epoch of the topic.
local function entryAt(stream, epoch, offset)
  while true do
    local row = redis.call('XREVRANGE', stream, idOf(epoch, offset), '-', 'COUNT', 1)[1]
    if not row then return nil end
    if offsetOf(row[1]) <= offset then return row[1], row[2][2] end
    -- The offset is older than the entries of this epoch.
    epoch = epochOf(row[1])
  end
end

-- How many publications an entry (stream-entry.ts) holds.
local function countOf(entry)
  return #entry < 3 and 0 or struct.unpack('>H', entry, 2)
end

-- Appends entries of a stream to `answer`, after its first value, in the order of `command` (XRANGE or XREVRANGE). It
-- appends at least one. It stops before it exceeds `bytes` or 100 entries, or when the entries hold enough
-- `publications`. It counts publications from the offset `start`, or from the first entry if that begins later. It
-- reads a few entries at once, and may drop the last ones.
local function addEntries(answer, command, stream, from, to, start, publications, bytes)
  local step, sum = 5, 0
  while true do
    local rows = redis.call(command, stream, from, to, 'COUNT', step)
    for _, row in ipairs(rows) do
      sum = sum + #row[2][2]
      if #answer == 1 then
        start = math.max(start, offsetOf(row[1]))
      else
        -- The later beginning of the two entries, so that it works in either direction.
        local border = math.max(offsetOf(answer[#answer][1]), offsetOf(row[1]))
        if sum > bytes or #answer > 100 or math.abs(border - start) >= publications then return end
      end
      answer[#answer + 1] = row
    end
    if #rows < step then return end
    from = '(' .. rows[step][1]
  end
end

-- Changes if the server has been a replica in the meantime, and also when a master gets its first replica.
local function idOfData()
  return ':' .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '')
end

-- A name for this server process.
local function runId()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

-- A name for the data that this server process holds. It changes if the server restarts, or has been a replica in the
-- meantime.
local function stateOfServer()
  return runId() .. idOfData()
end

-- The groups of messageIds (message-ids.lua) without those of the publications at `places` (a set), as a list. Their
-- places are those after the publications were removed.
local function idsWithout(places, groups, from, to)
  local left, next, gone = {}, 0, 0
  for i = from, to, 3 do
    for c = 1, #groups[i + 1] do
      local place = groups[i + 2] + c - 1
      while next < place do
        if places[next] then gone = gone + 1 end
        next = next + 1
      end
      if not places[place] then
        left[#left + 1] = groups[i]
        left[#left + 1] = string.sub(groups[i + 1], c, c)
        left[#left + 1] = place - gone
      end
    end
  end
  return left
end

-- Returns an entry (stream-entry.ts) without the publications at `places` (a set), with the messageIds `ids` (from
-- idsWithout). Also returns the number of remaining publications.
local function without(entry, places, ids)
  local version, count, length, at = struct.unpack('>BHI4', entry)
  local kept, left, number = {}, 0, 0
  local last = at + length
  while at < last do
    -- The data of a publication may have a key before it: `ext 8` (run.ts of @fanfare/protocol).
    local data, next = at, nil
    if string.byte(entry, at) == 0xc7 then data = at + 3 + string.byte(entry, at + 1) end
    -- MessagePack: bin 8, 16, 32; fixstr; str 8, 16, 32.
    local head = string.byte(entry, data)
    if head >= 0xa0 and head <= 0xbf then
      next = data + 1 + head - 0xa0
    elseif head == 0xc4 or head == 0xd9 then
      next = data + 2 + struct.unpack('>B', entry, data + 1)
    elseif head == 0xc5 or head == 0xda then
      next = data + 3 + struct.unpack('>H', entry, data + 1)
    else
      next = data + 5 + struct.unpack('>I4', entry, data + 1)
    end
    if not places[number] then
      kept[#kept + 1] = string.sub(entry, at, next - 1)
      left = left + 1
    end
    at = next
    number = number + 1
  end
  local run = table.concat(kept)
  local tail = {}
  for i = 1, #ids, 3 do
    local text = ids[i] .. ids[i + 1]
    tail[#tail + 1] = struct.pack('>HB', ids[i + 2], #text) .. text
  end
  return struct.pack('>BHI4', version, left, #run) .. run .. table.concat(tail), left
end
