-- Ask for the probe of one endpoint or host. KEYS[1]: prefix. ARGV: id, slot, pod, lease in ms.
-- The slot of an outage's trial is 'o' and the generation of its record, which then tells the
-- others until when it is taken. Returns 0 if it is ours, else for how long it is another's, ms.
local prefix, id, slot, pod = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local lease = math.max(100, math.min(120000, tonumber(ARGV[4]) or 0))
local key = prefix .. 'l:' .. id .. ':' .. slot
local holder = redis.call('GET', key)
if holder and holder ~= pod then return math.max(1, redis.call('PTTL', key)) end
redis.call('SET', key, pod, 'PX', lease)
if slot:sub(1, 1) == 'o' then
  local raw = redis.call('HGET', prefix .. 'o', id)
  local is_ok, one = pcall(cjson.decode, raw or '')
  if is_ok and type(one) == 'table' and 'o' .. tostring(one.g) == slot then
    local time = redis.call('TIME')
    one.l = time[1] * 1000 + math.floor(time[2] / 1000) + lease
    redis.call('HSET', prefix .. 'o', id, cjson.encode(one))
    redis.call('DEL', prefix .. 'd')
  end
end
return 0
