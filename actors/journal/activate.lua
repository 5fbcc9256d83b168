-- Hands the pen of a conversation to its caller: a new epoch, and what is to be replayed.
-- KEYS[1] journal  KEYS[2] meta  KEYS[3] waiting
-- ARGV[1] most events returned  ARGV[2] who takes it
-- Returns {"activated", epoch, last seq, memory, entries}; the entries go from the oldest unanswered
--   message on, or from the first event after the memory if that is older, as XRANGE gives them.
local epoch = redis.call('HINCRBY', KEYS[2], 'epoch', 1)
redis.call('HSET', KEYS[2], 'holder', ARGV[2])
local found = redis.call('HMGET', KEYS[2], 'seq', 'memory', 'memory_seq')
local seq = tonumber(found[1] or '0')
-- A journal of a release that kept no memory is read from the oldest unanswered message on.
local from = seq + 1
if found[3] then
    from = tonumber(found[3]) + 1
end
local oldest = redis.call('ZRANGE', KEYS[3], 0, 0)
if oldest[1] then
    from = math.min(from, tonumber(string.match(oldest[1], '^%d+')))
end
local entries = {}
if from <= seq then
    entries = redis.call('XRANGE', KEYS[1], from .. '-0', '+', 'COUNT', ARGV[1])
end
return {'activated', epoch, seq, found[2] or '', entries}
