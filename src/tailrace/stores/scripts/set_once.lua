-- Write KEYS[2..] with ARGV[3..], each to expire after ARGV[1] milliseconds, unless the mark KEYS[1] is there; the mark
-- itself last, for ARGV[2] milliseconds. Returns 1 if they were written, else 0. Atomic, as every script is.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1])
end
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])
return 1
