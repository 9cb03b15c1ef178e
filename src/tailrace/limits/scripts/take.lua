-- Decide several buckets together: all are taken from, or none. Atomic, as every script is.
--
-- KEYS[1]  where it is noted that the contents of this store were lost, and when (see lost.lua)
-- KEYS     then the buckets; each holds the moment at which it will be full again
-- ARGV     for each bucket: the time in which it fills, and the time that is to be added
-- Returns  1 or 0 (taken from all or from none), now, and when each bucket will be full.
--
-- All times are microseconds of the server's clock: whole numbers, exact in a double until the year 2255. After a loss
-- every bucket is taken to have been empty at that moment, which is the worst it can have been.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lost = tonumber(redis.call('GET', KEYS[1]))
local allowed = 1
local arrivals = {}

for i = 2, #KEYS do
  local span, added = tonumber(ARGV[2 * i - 3]), tonumber(ARGV[2 * i - 2])
  local arrival = tonumber(redis.call('GET', KEYS[i]) or 0)
  if lost then
    arrival = math.max(arrival, lost + span)
  end
  arrival = math.max(now, math.min(arrival, now + span))
  arrivals[i - 1] = arrival
  if arrival + added > now + span then
    allowed = 0
  end
end

if allowed == 1 then
  for i = 2, #KEYS do
    local arrival = arrivals[i - 1] + ARGV[2 * i - 2]
    arrivals[i - 1] = arrival
    if arrival > now then
      -- A millisecond more: the server's own clock of expiry is cut to milliseconds.
      redis.call('SET', KEYS[i], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
    end
  end
end

return { allowed, now, unpack(arrivals) }
