-- Records events of a conversation: all or none, once, and only for the holder of its pen.
-- KEYS[1] journal  KEYS[2] meta  KEYS[3] waiting  KEYS[4] unanswered  KEYS[5] loads  KEYS[6] dead
-- KEYS[7] conversations with dead letters
-- ARGV[1] member of the slot's sets  ARGV[2] company  ARGV[3] epoch  ARGV[4] number of this write in
--   its epoch  ARGV[5] promised seqs, "5,6"  ARGV[6] settled seqs, "5,6"  ARGV[7] most events kept
-- ARGV[8] what the holder remembers  ARGV[9] the last seq in that  ARGV[10] which of the events are
--   dead letters, "1,2"  ARGV[11] now, ms  ARGV[12…] events
-- Returns {"recorded" | "repeated", first seq, last seq} or {"fenced", current epoch}
local epoch = redis.call('HGET', KEYS[2], 'epoch') or '0'
if epoch ~= ARGV[3] then
    return {'fenced', tonumber(epoch)}
end

-- A caller that lost the answer repeats its write under the same number; a write that was under way
-- while its caller went on comes late under an old one.
local last = redis.call('HMGET', KEYS[2], 'write', 'first', 'seq', 'written')
if last[4] == epoch and tonumber(ARGV[4]) <= tonumber(last[1]) then
    return {'repeated', tonumber(last[2]), tonumber(last[3])}
end

local seq = tonumber(last[3] or '0')
local first = seq + 1
for i = 12, #ARGV do
    seq = seq + 1
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[7], seq .. '-0', 'event', ARGV[i])
end
redis.call('HSET', KEYS[2], 'seq', seq, 'write', ARGV[4], 'written', epoch, 'first', first,
    'promised', ARGV[5], 'memory', ARGV[8], 'memory_seq', ARGV[9])

for n in string.gmatch(ARGV[10], '%d+') do
    redis.call('ZADD', KEYS[6], ARGV[11], first + n - 1)
    redis.call('ZADD', KEYS[7], ARGV[11], ARGV[1])
end

local settled = 0
for s in string.gmatch(ARGV[6], '%d+') do
    settled = settled + redis.call('ZREMRANGEBYSCORE', KEYS[3], s, s)
end
if settled > 0 and redis.call('HINCRBY', KEYS[5], ARGV[2], -settled) <= 0 then
    redis.call('HDEL', KEYS[5], ARGV[2])
end

-- The mark follows from what waits, so that a message appended a moment ago keeps it.
local oldest = redis.call('ZRANGE', KEYS[3], 0, 0)
if oldest[1] then
    redis.call('ZADD', KEYS[4], string.match(oldest[1], ':(%d+)$'), ARGV[1])
else
    redis.call('ZREM', KEYS[4], ARGV[1])
end
return {'recorded', first, seq}
