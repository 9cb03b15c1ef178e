-- Write KEYS[2..] with ARGV[3..], each to expire after ARGV[1] milliseconds, unless the mark KEYS[1] is there, and leave
-- that for ARGV[2] milliseconds. Returns 1 if they were written, else 0. Atomic, as every script is.
--
-- The mark is asked for by writing it, since a read would make the server track it for the caller and push its end. A
-- server that is full refuses the first write of a script or none, so there is no mark without the rest.
if not redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[2]) then
  return 0
end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1])
end
return 1
