#!lua flags=allow-oom
-- Counts one more connection of a subject, unless all nodes together would have too many. Only nodes with heartbeats
-- count. The report of a node without heartbeats stays: the node may have lost only its other connection to Redis, for
-- a moment. Like spend.lua, this script may run while Redis is full.
--
-- KEYS[1]  reports of the nodes, a hash: node to `<connections>:<valid until, Unix time in ms>`
-- KEYS[2]  nodes with heartbeats, a sorted set (heartbeat.lua)
-- ARGV[1]  id of the node
-- ARGV[2]  connections of the subject at this node, with the new one
-- ARGV[3]  maximum number of connections at all nodes together
-- ARGV[4]  how long the report is valid, in ms
--
-- Returns 1 if the connection is counted; 0 if there are too many.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = tonumber(ARGV[2])
local reports = redis.call('HGETALL', KEYS[1])
for at = 1, #reports, 2 do
  local count, til = string.match(reports[at + 1], '^(%d+):(%d+)$')
  if reports[at] ~= ARGV[1] then
    if not til or tonumber(til) <= now then
      redis.call('HDEL', KEYS[1], reports[at])
    elseif redis.call('ZSCORE', KEYS[2], reports[at]) then
      all = all + tonumber(count)
    end
  end
end
if all > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. string.format('%d', now + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
