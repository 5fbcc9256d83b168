-- Deletes a conversation that was quiet since a time and owes nobody an answer.
-- KEYS[1] journal  KEYS[2] seen  KEYS[3] meta  KEYS[4] waiting  KEYS[5] conversations  KEYS[6] dead
-- KEYS[7] conversations with dead letters
-- ARGV[1] member of the slot's sets  ARGV[2] quiet since, ms  ARGV[3] life of the number, ms
-- Returns {"trimmed", events deleted} or {"kept", "busy" | "unanswered"}
local active = redis.call('ZSCORE', KEYS[5], ARGV[1])
if active and tonumber(active) >= tonumber(ARGV[2]) then
    return {'kept', 'busy'}
end
if redis.call('ZCARD', KEYS[4]) > 0 then
    return {'kept', 'unanswered'}
end
local events = redis.call('XLEN', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4], KEYS[6])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
-- The counters outlive the text for a while: no sequence number, and so no reply id, is used twice
-- while anyone can remember it. The epoch moves on, so that a mailbox in memory lets go.
redis.call('HDEL', KEYS[3], 'write', 'written', 'first', 'promised', 'memory', 'memory_seq')
redis.call('HINCRBY', KEYS[3], 'epoch', 1)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return {'trimmed', events}
