-- Gives back to a topic's stream what Redis has lost of it and a node remembers. What is there already is left as it is.
--
-- KEYS[1]  the topic's stream
-- KEYS[2]  generation: there is none while nodes give back. Who comes too late gives nothing: others may have published since
-- ARGV[1]  floor: an epoch that is lower has ended
-- ARGV[2]  how long the stream lives on from now, in ms
-- ARGV[3]  how long a messageId is remembered, in ms
-- ARGV[4]  epoch of the entries
-- then for each entry, in order: offset of its first publication, entry, number of messageIds, then of each: place, messageId
--
-- Returns {position of the newest publication, 1 where anything was given back, else 0}. Of another epoch nothing is given
-- back, nor what comes behind a hole: then the topic gets another epoch.
local stream = KEYS[1]
local floor, ttl, window, epoch = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local last = lastId(stream, floor)
if epoch < floor or redis.call('EXISTS', KEYS[2]) == 1 then return { last or '', 0 } end
local restored = 0
if not last then
  last = beginAt(stream, idOf(epoch, tonumber(ARGV[5]) - 1), ttl)
  restored = 1
end
if epochOf(last) ~= epoch then return { last, restored } end
local head = offsetOf(last)
local at = 5
while at <= #ARGV do
  local first, entry, ids = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  -- What lies between cannot be had: what was seen of it must not be taken for what comes.
  if first > head + 1 then return { renew(stream, idOf(epoch, head), floor), 1 } end
  local _, count = struct.unpack('>BH', entry)
  local there = head + 1 - first
  if there < count then
    local left, args = {}, {}
    for i = 1, ids do
      local place, text = ARGV[at + 2 * i - 2] - there, ARGV[at + 2 * i - 1]
      if place >= 0 then
        left[#left + 1] = { place = place, text = text }
        args[#args + 1] = text
        args[#args + 1] = idOf(epoch, head + 1 + place)
      end
    end
    -- Of an entry that somebody has given back a part of, the rest.
    if there > 0 then
      local places = {}
      for place = 0, there - 1 do places[place] = true end
      entry, count = without(entry, places, left)
    end
    redis.call('XADD', stream, idOf(epoch, head + 1), '', entry)
    head = head + count
    if count > 1 then redis.call('XSETID', stream, idOf(epoch, head)) end
    restored = 1
    if #args > 0 then remember(stream .. ':ids', window, args) end
  end
  at = at + 2 * ids
end
redis.call('PEXPIRE', stream, ttl)
return { idOf(epoch, head), restored }
