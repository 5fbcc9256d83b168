-- Hands the pen of a conversation to its caller: a new epoch, and what is to be replayed.
-- KEYS[1] journal  KEYS[2] meta  KEYS[3] waiting
-- ARGV[1] most events returned  ARGV[2] who takes it
-- Returns {"activated", epoch, last seq, entries}; the entries go from the oldest unanswered message
--   on, as XRANGE gives them; none if nothing is unanswered.
local epoch = redis.call('HINCRBY', KEYS[2], 'epoch', 1)
redis.call('HSET', KEYS[2], 'holder', ARGV[2])
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or '0')
local oldest = redis.call('ZRANGE', KEYS[3], 0, 0)
local entries = {}
if oldest[1] then
    local from = string.match(oldest[1], '^%d+')
    entries = redis.call('XRANGE', KEYS[1], from .. '-0', '+', 'COUNT', ARGV[1])
end
return {'activated', epoch, seq, entries}
