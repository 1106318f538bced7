-- What the scripts know of a topic's stream; it stands before each of them.
--
-- A stream entry holds a run of publications; its id is <epoch>-<offset of its first publication>. The last id of the stream
-- is the position of the topic's newest publication: XSETID moves it to the end of the run. Epochs are 16 digits (µs since
-- 1970 by the clock of Redis), so that text compares as the numbers do.

local function epochOf(id)
  return string.match(id, '^%d+')
end

local function offsetOf(id)
  return tonumber(string.match(id, '%d+$'))
end

local function idOf(epoch, offset)
  return epoch .. '-' .. string.format('%.0f', offset)
end

-- Makes an empty stream that goes on after `id`. XADD would make one with an entry in it, for which Redis sets 4 KiB aside.
local function beginAt(stream, id, ttl)
  -- Not deleted for good measure: after a first write Redis does not refuse a script for want of memory any more.
  if redis.call('EXISTS', stream) == 1 then redis.call('DEL', stream) end
  redis.call('XGROUP', 'CREATE', stream, 'none', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', stream, 'none')
  redis.call('XSETID', stream, id)
  redis.call('PEXPIRE', stream, math.abs(ttl))
  return id
end

-- Names the data that this server process holds: it changes with a restart, and where it was a replica meanwhile.
local function stateOfServer()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return run .. ':' .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '')
end

-- An epoch that begins now, and behind `last`, also where the clock of this server is behind that of another.
local function epochAfter(last)
  local now = redis.call('TIME')
  return string.format('%016.0f', math.max(now[1] * 1000000 + now[2], tonumber(last) + 1))
end

-- Begins a topic's history anew.
local function begin(stream, floor, ttl)
  return beginAt(stream, epochAfter(floor) .. '-0', ttl)
end

-- Gives a stream another epoch: what it holds can be read on, but no position of before. All offsets move up by one, so that a
-- history that holds offset 1 is known to have inherited nothing: whoever hears of its epoch may deliver all of it.
local function renew(stream, last, floor)
  local epoch, ttl = epochAfter(math.max(epochOf(last), floor)), math.max(redis.call('PTTL', stream), 1000)
  local entries = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1000)
  redis.call('DEL', stream)
  for i = #entries, 1, -1 do
    redis.call('XADD', stream, idOf(epoch, offsetOf(entries[i][1]) + 1), '', entries[i][2][2])
  end
  local id = idOf(epoch, offsetOf(last) + 1)
  if #entries == 0 then return beginAt(stream, id, ttl) end
  redis.call('XSETID', stream, id)
  redis.call('PEXPIRE', stream, ttl)
  return id
end

-- The last id of a stream; nil where there is no stream. One of an epoch that has ended gets another.
local function lastId(stream, floor)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return nil end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local last = info[i + 1]
      return epochOf(last) >= floor and last or renew(stream, last, floor)
    end
  end
end

-- Remembers messageIds, given as {id, position, …}. With `window`, sees to it that each is remembered for so many ms at least
-- and not three times that; this must be asked for with the first one and then once in a half of it.
local function remember(key, window, args)
  local ttl = window and redis.call('PTTL', key)
  -- The table that is put aside lives on for one and a half windows, less the time since this was looked at last.
  if ttl and ttl >= 0 and ttl < 1.5 * window then
    redis.call('RENAME', key, key .. ':old')
    ttl = -2
  end
  redis.call('HSET', key, unpack(args))
  if ttl and ttl < 0 then redis.call('PEXPIRE', key, string.format('%.0f', 2.5 * window)) end
end

-- An entry (stream-entry.ts) without the publications at `places` (a set), with the messageIds that are left as {place, text}; and how
-- many publications are left.
local function without(entry, places, ids)
  local version, count, length, at = struct.unpack('>BHI4', entry)
  local kept, left, number = {}, 0, 0
  local last = at + length
  while at < last do
    -- MessagePack: bin 8, 16, 32; fixstr; str 8, 16, 32.
    local head, size = string.byte(entry, at), nil
    if head >= 0xa0 and head <= 0xbf then
      size = 1 + head - 0xa0
    elseif head == 0xc4 or head == 0xd9 then
      size = 2 + struct.unpack('>B', entry, at + 1)
    elseif head == 0xc5 or head == 0xda then
      size = 3 + struct.unpack('>H', entry, at + 1)
    else
      size = 5 + struct.unpack('>I4', entry, at + 1)
    end
    if not places[number] then
      kept[#kept + 1] = string.sub(entry, at, at + size - 1)
      left = left + 1
    end
    at = at + size
    number = number + 1
  end
  local run = table.concat(kept)
  local tail = {}
  for _, id in ipairs(ids) do
    tail[#tail + 1] = struct.pack('>HB', id.place, #id.text) .. id.text
  end
  return struct.pack('>BHI4', version, left, #run) .. run .. table.concat(tail), left
end
