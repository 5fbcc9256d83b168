-- Adds to a company's bucket, which drains steadily: only what fits, or whatever it costs.
-- KEYS[1] bucket (hash: used, at)
-- ARGV[1] amount, below zero to give back  ARGV[2] drained a minute, and most in it
-- ARGV[3] now, ms  ARGV[4] "fits" | "always"
-- Returns {"taken" | "refused", what is in it as text, as of when in ms}
local per_minute = tonumber(ARGV[2])
local now = tonumber(ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'used', 'at')
local used = tonumber(found[1] or '0')
local at = tonumber(found[2] or ARGV[3])
-- The clocks of several machines differ a little; what is far ahead was written by a wrong one.
if at - now > 60000 then
    at = now
end
if now > at then
    used = math.max(0, used - (now - at) * per_minute / 60000)
    at = now
end

local then_used = math.max(0, used + tonumber(ARGV[1]))
if ARGV[4] == 'fits' and then_used > per_minute then
    return {'refused', string.format('%.6f', used), at}
end
redis.call('HSET', KEYS[1], 'used', string.format('%.6f', then_used), 'at', string.format('%d', at))
-- It may go when it is empty, on the slowest of the clocks.
redis.call('PEXPIRE', KEYS[1], string.format('%d', then_used * 60000 / per_minute + 120000))
return {'taken', string.format('%.6f', then_used), at}
