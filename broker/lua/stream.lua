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

-- The last id of a stream; nil where there is no stream, or only one of an epoch that has ended.
local function lastId(stream, floor)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return nil end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return epochOf(info[i + 1]) >= floor and info[i + 1] or nil
    end
  end
end

-- Makes an empty stream that goes on after `id`. XADD would make one with an entry in it, for which Redis sets 4 KiB aside.
local function beginAt(stream, id, ttl)
  redis.call('DEL', stream)
  redis.call('XGROUP', 'CREATE', stream, 'none', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', stream, 'none')
  redis.call('XSETID', stream, id)
  redis.call('PEXPIRE', stream, math.abs(ttl))
  return id
end

-- Begins a topic's history anew.
local function begin(stream, ttl)
  local now = redis.call('TIME')
  return beginAt(stream, now[1] .. string.format('%06d', now[2]) .. '-0', ttl)
end

-- Remembers messageIds, given as {id, position, …}: for `window` ms at least, for twice that at most.
local function remember(key, window, args)
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 and ttl < window then
    redis.call('RENAME', key, key .. ':old')
    ttl = -2
  end
  redis.call('HSET', key, unpack(args))
  if ttl < 0 then redis.call('PEXPIRE', key, 2 * window) end
end

