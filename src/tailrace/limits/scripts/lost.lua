-- Note that this life of the store's contents began with a loss, unless that is noted already.
--
-- KEYS[1]  where; its name holds the replication id, which is another one after each restart and promotion
-- ARGV[1]  milliseconds for which the note matters: the time in which the slowest bucket fills, and some
-- Returns  1 if nobody had noted it.
--
-- Only a process that lived through the loss knows of it, so the note is made before it decides anything again.
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000000 + clock[2])
return redis.call('SET', KEYS[1], now, 'NX', 'PX', ARGV[1]) and 1 or 0
