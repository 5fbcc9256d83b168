-- Notes in a conversation's journal what is no customer's message: a person answered, the status changed.
-- KEYS[1] journal  KEYS[2] seen  KEYS[3] meta  KEYS[4] waiting  KEYS[5] conversations
-- ARGV[1] member of the slot's sets  ARGV[2] the note's id for deduplication, "" for none
-- ARGV[3] event  ARGV[4] now, ms  ARGV[5] when: "always", "known" (there is a journal) or "waiting"
--   (a message is unanswered)  ARGV[6] most events kept
-- Returns {"noted", seq} or {"skipped"} or {"duplicate"}
local known = redis.call('EXISTS', KEYS[1]) == 1
if ARGV[5] ~= 'always' and not known then
    return {'skipped'}
end
if ARGV[5] == 'waiting' and redis.call('ZCARD', KEYS[4]) == 0 then
    return {'skipped'}
end
if ARGV[2] ~= '' and redis.call('ZSCORE', KEYS[2], ARGV[2]) then
    return {'duplicate'}
end
local seq = redis.call('HINCRBY', KEYS[3], 'seq', 1)
redis.call('PERSIST', KEYS[3])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], seq .. '-0', 'event', ARGV[3])
if ARGV[2] ~= '' then
    redis.call('ZADD', KEYS[2], seq, ARGV[2])
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[6])
end
if not known then
    -- So that the clean-up finds it; the retention counts from the customer's last message.
    redis.call('ZADD', KEYS[5], ARGV[4], ARGV[1])
end
-- So that whoever takes the conversation up reads it, also where nothing was remembered so far.
if redis.call('HEXISTS', KEYS[3], 'memory_seq') == 0 then
    redis.call('HSET', KEYS[3], 'memory', '', 'memory_seq', seq - 1)
end
return {'noted', seq}
