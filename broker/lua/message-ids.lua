-- Functions for the messageIds of a topic. The node puts this file in front of each script.
--
-- Two hashes contain the messageIds with which publications were made, the recent and the older ones. Publishers count
-- at the end of their messageIds. So those that differ only in their last character share a field. Its name is the
-- messageId without that character, the stem. Its value is
--   the last characters, in the order of publication: printable ASCII without spaces, so at most 94
--   a newline
--   ' <n>:<epoch>-<base>' for the n-th character and those after it: the offset of each is <base> + its number
-- A stem in the recent hash has everything that the older one has of it.
--
-- Scripts take messageIds in groups of three values: the stem, the last characters, and the place of the first one in
-- the run (counted from 0). The others have the next places. `groups`, `from` and `to`: a list (ARGV, or one of
-- idsWithout in stream.lua), and where in it the groups begin and end. A run has at most 512 messageIds
-- (publish-batcher.ts): `unpack` takes up to some thousand values.

local function idOf(epoch, offset)
  return epoch .. '-' .. string.format('%.0f', offset)
end

-- What a topic has of the stems of some messageIds: stem -> value, which is '\n' if the topic has nothing.
local function readIds(recentIds, oldIds, groups, from, to)
  local stems, values = {}, {}
  for i = from, to, 3 do
    local stem = groups[i]
    if not values[stem] then
      stems[#stems + 1] = stem
      values[stem] = '\n'
    end
  end
  local older = {}
  for i, value in ipairs(redis.call('HMGET', recentIds, unpack(stems))) do
    if value then values[stems[i]] = value else older[#older + 1] = stems[i] end
  end
  if #older > 0 then
    for i, value in ipairs(redis.call('HMGET', oldIds, unpack(older))) do
      if value then values[older[i]] = value end
    end
  end
  return values
end

-- The position of the n-th character of a value whose characters end before `newline`.
local function positionIn(value, newline, n)
  local epoch, base
  for start, itsEpoch, itsBase in string.gmatch(string.sub(value, newline), '(%d+):(%d+)-(%-?%d+)') do
    if tonumber(start) > n then break end
    epoch, base = itsEpoch, itsBase
  end
  return idOf(epoch, base + n)
end

-- The messageIds that a topic has already: place in the run -> position; nil if there are none. `values`: see readIds.
local function findKnown(values, groups, from, to)
  local known
  for i = from, to, 3 do
    local value, characters = values[groups[i]], groups[i + 1]
    local newline = string.find(value, '\n', 1, true)
    for c = 1, newline > 1 and #characters or 0 do
      local n = string.find(value, string.sub(characters, c, c), 1, true)
      if n and n < newline then
        known = known or {}
        known[groups[i + 2] + c - 1] = positionIn(value, newline, n)
      end
    end
  end
  return known
end

-- Remembers the messageIds of a run that was published at the offset `first`. `values`: see readIds. With `window`, it
-- also rotates the two hashes: they remember each messageId for at least that many ms. Pass `window` with the first
-- messageId, and then once in each half window.
local function remember(recentIds, oldIds, window, values, groups, from, to, epoch, first)
  local ttl = window and redis.call('PTTL', recentIds)
  -- The older hash expires after one and a half windows, less the time since the last check.
  if ttl and ttl >= 0 and ttl < 1.5 * window then
    redis.call('RENAME', recentIds, oldIds)
    ttl = -2
  end
  for i = from, to, 3 do
    local value = values[groups[i]]
    local newline = string.find(value, '\n', 1, true)
    local places, position = string.sub(value, newline), ':' .. idOf(epoch, first + groups[i + 2] - newline)
    if string.sub(places, -#position) ~= position then places = places .. ' ' .. newline .. position end
    values[groups[i]] = string.sub(value, 1, newline - 1) .. groups[i + 1] .. places
  end
  local args = {}
  for stem, value in pairs(values) do
    args[#args + 1] = stem
    args[#args + 1] = value
  end
  redis.call('HSET', recentIds, unpack(args))
  if ttl and ttl < 0 then redis.call('PEXPIRE', recentIds, string.format('%.0f', 2.5 * window)) end
end
