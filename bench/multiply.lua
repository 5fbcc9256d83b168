-- Makes conversations with the journal and counters of a pattern.
-- KEYS[1] the pattern's keys without their last part
-- ARGV[1] company  ARGV[2] now, ms  ARGV[3] "yes" if the pattern waits for its answer
-- ARGV[4…] slot and member of each conversation, in turn
-- Returns {"multiplied", conversations made}
-- Only for a bench on a single Redis: it writes to many slots, and makes their keys itself.
for i = 4, #ARGV, 2 do
    local slot = 'turnwise:{' .. ARGV[i] .. '}:'
    for _, part in ipairs({':journal', ':seen', ':meta', ':waiting'}) do
        redis.call('COPY', KEYS[1] .. part, slot .. ARGV[i + 1] .. part)
    end
    redis.call('ZADD', slot .. 'conversations', ARGV[2], ARGV[i + 1])
    if ARGV[3] == 'yes' then
        redis.call('ZADD', slot .. 'unanswered', ARGV[2], ARGV[i + 1])
        redis.call('HINCRBY', slot .. 'loads', ARGV[1], 1)
    end
end
return {'multiplied', (#ARGV - 3) / 2}
