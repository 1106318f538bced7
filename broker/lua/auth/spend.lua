#!lua flags=allow-oom
-- Takes from token buckets that all nodes share. A bucket can become negative without limit; otherwise several nodes
-- together could exceed the rate. The script may run while Redis is full; otherwise each node would apply the limits on
-- its own. The keys expire.
--
-- KEYS            buckets, a hash for each
-- ARGV[3 * n - 2] rate of bucket n, per second
-- ARGV[3 * n - 1] burst of bucket n: the maximum that it holds
-- ARGV[3 * n]     what is taken from bucket n
--
-- Returns the tokens that are left in each bucket, as text because Redis would cut numbers to integers. A negative
-- number is a debt.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for at, key in ipairs(KEYS) do
  local rate, most, taken = tonumber(ARGV[3 * at - 2]), tonumber(ARGV[3 * at - 1]), tonumber(ARGV[3 * at])
  local bucket = redis.call('HMGET', key, 'left', 'at')
  local passed = math.max(0, now - (tonumber(bucket[2]) or now))
  local left = math.min(most, (tonumber(bucket[1]) or most) + passed * rate / 1000) - taken
  if taken > 0 then
    redis.call('HSET', key, 'left', tostring(left), 'at', now)
    redis.call('PEXPIRE', key, math.ceil((most - left) / rate * 1000) + 1000)
  end
  answers[at] = tostring(left)
end
return answers
