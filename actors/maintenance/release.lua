-- Gives a lease back, if it is still the caller's.
-- KEYS[1] lease
-- ARGV[1] holder
-- Returns {"released"} or {"lost"}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return {'lost'}
end
redis.call('DEL', KEYS[1])
return {'released'}
