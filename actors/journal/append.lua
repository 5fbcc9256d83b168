-- Appends a customer's message to its conversation's journal: once, in sequence, marked as unanswered.
-- KEYS[1] journal  KEYS[2] seen  KEYS[3] meta  KEYS[4] waiting  KEYS[5] unanswered  KEYS[6] loads
-- KEYS[7] conversations
-- ARGV[1] member of the slot's sets  ARGV[2] company  ARGV[3] the message's id for deduplication
-- ARGV[4] event  ARGV[5] now, ms  ARGV[6] most messages waiting  ARGV[7] largest batch
-- ARGV[8] most events kept
-- Returns {"appended" | "duplicate", seq, place in the queue (0: answered), first seq of its turn,
--   arrival of the oldest unanswered message in ms, unanswered messages of the company in this slot}
--   or {"full", messages waiting}
local waiting = redis.call('ZRANGE', KEYS[4], 0, -1)
local oldest = ARGV[5]
if #waiting > 0 then
    oldest = string.match(waiting[1], ':(%d+)$')
end

local load = function()
    return tonumber(redis.call('HGET', KEYS[6], ARGV[2]) or '0')
end

local seen = redis.call('ZSCORE', KEYS[2], ARGV[3])
if seen then
    local first = tonumber(seen)
    local entry = redis.call('XRANGE', KEYS[1], seen .. '-0', seen .. '-0')
    -- A note may have been put there under the same id: it begins no turn.
    if entry[1] and entry[1][2][4] then
        first = tonumber(entry[1][2][4])
    end
    return {'duplicate', tonumber(seen), redis.call('ZCOUNT', KEYS[4], '-inf', seen), first,
        tonumber(oldest), load()}
end
if #waiting >= tonumber(ARGV[6]) then
    return {'full', #waiting}
end

local seq = redis.call('HINCRBY', KEYS[3], 'seq', 1)
redis.call('PERSIST', KEYS[3])

-- The turn that this message will belong to begins with the oldest message that nothing promises to
-- answer, counted in largest batches.
local promised = {}
for s in string.gmatch(redis.call('HGET', KEYS[3], 'promised') or '', '%d+') do
    promised[s] = true
end
local open = {}
for _, w in ipairs(waiting) do
    local s = string.match(w, '^%d+')
    if not promised[s] then
        open[#open + 1] = tonumber(s)
    end
end
local head = math.floor(#open / ARGV[7]) * ARGV[7] + 1
local first = open[head] or seq

redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[8], seq .. '-0', 'event', ARGV[4], 'turn', first)
redis.call('ZADD', KEYS[2], seq, ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[8])
redis.call('ZADD', KEYS[4], seq, seq .. ':' .. ARGV[5])
redis.call('ZADD', KEYS[5], 'NX', ARGV[5], ARGV[1])
redis.call('ZADD', KEYS[7], ARGV[5], ARGV[1])
return {'appended', seq, #waiting + 1, first, tonumber(oldest),
    redis.call('HINCRBY', KEYS[6], ARGV[2], 1)}
