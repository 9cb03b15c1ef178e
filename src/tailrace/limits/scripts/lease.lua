-- Take units of one bucket in advance, giving back what was not used of the last ones. Atomic, as every script is.
--
-- KEYS     as in take.lua, with one bucket
-- ARGV     the time in which it fills, the time in which one unit flows in, units needed, most units wanted, units given
--          back
-- Returns  units taken, now, and when the bucket will be full.
--
-- At most half of what there is is taken in advance, so that the last units are shared out ever more thinly.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lost = tonumber(redis.call('GET', KEYS[1]))
local span, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, most, back = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local arrival = tonumber(redis.call('GET', KEYS[2]) or 0)
if lost then
  arrival = math.max(arrival, lost + span)
end
arrival = math.max(now, math.min(arrival, now + span) - back * interval)
local there = math.floor((now + span - arrival) / interval)
local taken = 0
if there >= needed then
  taken = math.max(needed, math.min(most, math.floor(there / 2)))
end

if taken > 0 or back > 0 then
  arrival = arrival + taken * interval
  if arrival > now then
    -- A millisecond more: the server's own clock of expiry is cut to milliseconds.
    redis.call('SET', KEYS[2], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
  else
    redis.call('DEL', KEYS[2])
  end
end

return { taken, now, arrival }
