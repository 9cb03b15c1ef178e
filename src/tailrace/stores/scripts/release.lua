-- Remove KEYS[1] if it holds ARGV[1]. Returns 1 if it did, else 0. Atomic, as every script is.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
