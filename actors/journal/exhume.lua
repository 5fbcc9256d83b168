-- Takes a dead letter off the list: its messages wait again, or it is discarded.
-- KEYS[1] journal  KEYS[2] meta  KEYS[3] waiting  KEYS[4] unanswered  KEYS[5] loads  KEYS[6] dead
-- KEYS[7] conversations with dead letters
-- ARGV[1] member of the slot's sets  ARGV[2] company  ARGV[3] the letter's seq  ARGV[4] event
-- ARGV[5] now, ms  ARGV[6] most events kept  ARGV[7] seqs that wait again, "5,6", "" for none
-- Returns {"exhumed", seq of the event} or {"gone"}
if redis.call('ZREM', KEYS[6], ARGV[3]) == 0 then
    return {'gone'}
end
if redis.call('ZCARD', KEYS[6]) == 0 then
    redis.call('ZREM', KEYS[7], ARGV[1])
end
local seq = redis.call('HINCRBY', KEYS[2], 'seq', 1)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], seq .. '-0', 'event', ARGV[4])
local back = 0
for s in string.gmatch(ARGV[7], '%d+') do
    if redis.call('ZCOUNT', KEYS[3], s, s) == 0 then
        redis.call('ZADD', KEYS[3], s, s .. ':' .. ARGV[5])
        back = back + 1
    end
end
if back > 0 then
    redis.call('HINCRBY', KEYS[5], ARGV[2], back)
    redis.call('ZADD', KEYS[4], 'NX', ARGV[5], ARGV[1])
end
return {'exhumed', seq}
