#!lua flags=allow-oom
-- Reports how many connections subjects have at a node (admit.lua). Allowed while Redis is full, like spend.lua.
--
-- KEYS         reports of the nodes, a hash for each subject
-- ARGV[1]      id of the node
-- ARGV[2]      how long the report is valid, in ms
-- ARGV[n + 2]  connections of the subject of KEYS[n]
local time = redis.call('TIME')
local til = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2]))
for at, key in ipairs(KEYS) do
  local count = ARGV[at + 2]
  if count == '0' then
    redis.call('HDEL', key, ARGV[1])
  else
    redis.call('HSET', key, ARGV[1], count .. ':' .. til)
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
