-- Takes or renews a lease: one holder at a time, for a limited time.
-- KEYS[1] lease
-- ARGV[1] holder  ARGV[2] life, ms
-- Returns {"held"} or {"taken", the other holder}
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return {'taken', holder}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'held'}
