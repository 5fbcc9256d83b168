-- Notes that a customer's message came here from an inbox of a company's Chatwoot.
-- KEYS[1] inboxes: hash, inbox -> "since:last", ms
-- ARGV[1] inbox  ARGV[2] now, ms  ARGV[3] ms after which an inbox that was silent is as a new one
-- ARGV[4] most inboxes kept  ARGV[5] life of the whole, ms
-- Returns {"noted", inboxes kept}
local now = tonumber(ARGV[2])
local since = now
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
    local first, last = string.match(known, '^(%d+):(%d+)$')
    if first and now - tonumber(last) <= tonumber(ARGV[3]) then
        since = tonumber(first)
    end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:%.0f', since, now))

-- Those silent for longest make room.
local kept = redis.call('HLEN', KEYS[1])
while kept > tonumber(ARGV[4]) do
    local oldest, oldest_ms
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        local last = tonumber(string.match(all[i + 1], ':(%d+)$') or '0')
        if not oldest_ms or last < oldest_ms then
            oldest, oldest_ms = all[i], last
        end
    end
    redis.call('HDEL', KEYS[1], oldest)
    kept = kept - 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'noted', kept}
