-- Stores or removes the table of one company, if nobody changed a company since it was read.
-- KEYS[1] tables by company  KEYS[2] version
-- ARGV[1] company  ARGV[2] table as JSON; empty: remove  ARGV[3] version that was read
-- ARGV[4] most companies
-- Returns {"stored" | "removed" | "changed" | "full", version}
local version = tonumber(redis.call('GET', KEYS[2]) or '0')
if version ~= tonumber(ARGV[3]) then
    return {'changed', version}
end
if ARGV[2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
    return {'removed', redis.call('INCR', KEYS[2])}
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
    and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    return {'full', version}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {'stored', redis.call('INCR', KEYS[2])}
