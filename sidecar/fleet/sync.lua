-- One pod's word to the fleet, and the fleet's view back, in one step.
-- KEYS[1]: the prefix of all keys, with the hash tag that keeps them on one node of a cluster.
-- ARGV[1]: the push as JSON (sidecar/fleet/push.py). Returns {view as JSON, warm start or '', ms}.
-- Whatever is pushed is clamped, counted by this server's clock, and expires. A store that is full
-- refuses the writes and answers all the same.
local prefix, push = KEYS[1], cjson.decode(ARGV[1])
local time = redis.call('TIME')
local second, ms = tonumber(time[1]), time[1] * 1000 + math.floor(time[2] / 1000)
local pod, day = string.sub(tostring(push.p), 1, 16), math.floor(second / 86400)
local is_full = 0

-- After one write a script may go on writing whatever the memory: so the first refusal ends them.
local function try(...)
  if is_full == 1 then return nil end
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then is_full = 1; return nil end
  return answer
end

local function within(x, least, most)
  x = tonumber(x)
  if x == nil or x ~= x then return least end
  return math.max(least, math.min(most, x))
end

local function is_id(id) return type(id) == 'string' and #id == 10 and not id:find('%W') end

local function decoded(text)
  if not text then return nil end
  local is_ok, found = pcall(cjson.decode, text)
  if is_ok and type(found) == 'table' then return found end
  return nil
end

local function has_room(key, most) return redis.call('HLEN', key) < most end

-- Who is there. Also the first write: where there is no memory it is refused, and so all others.
local live = prefix .. 'pods'
if redis.call('ZCARD', live) < 20000 or redis.call('ZSCORE', live, pod) then
  try('ZADD', live, ms, pod)
  try('EXPIRE', live, 120)
end

-- Evidence: outcomes by second, and who reports and who fails by ten seconds.
local counts = prefix .. 'c:' .. second
local function add(id, kind, amount)
  if amount > 0 then try('HINCRBYFLOAT', counts, id .. kind, amount) end
end
local has_counts = has_room(counts, 4096)
for id, seen in pairs(push.e or {}) do
  if is_id(id) and has_counts then
    local ok, fail = within(seen[1], 0, 20), within(seen[2], 0, 20)
    add(id, 'o', ok)
    add(id, 'f', fail)
    for kind, amount in pairs({a = ok + fail, p = fail}) do
      local key = prefix .. kind .. ':' .. math.floor(second / 10) .. ':' .. id
      if amount > 0 and try('PFADD', key, pod) then try('EXPIRE', key, 60) end
    end
  end
end
for id, used in pairs(push.q or {}) do
  if is_id(id) and has_counts then
    add(id, 'q', within(used[1], 0, 1e4))
    add(id, 't', within(used[2], 0, 1e8))
  end
end
try('EXPIRE', counts, 60)

-- Waits that providers asked for: the four longest of each account, by pod.
local rests = prefix .. 'r'
for id, wait in pairs(push.r or {}) do
  local kept = is_id(id) and decoded(redis.call('HGET', rests, id)) or {}
  if is_id(id) and (next(kept) or has_room(rests, 512)) then
    kept[pod] = ms + within(wait, 0, 86400000)
    local count, least = 0, nil
    for who, untl in pairs(kept) do
      if untl <= ms then kept[who] = nil else
        count = count + 1
        if least == nil or untl < kept[least] then least = who end
      end
    end
    if count > 4 then kept[least] = nil end
    try('HSET', rests, id, cjson.encode(kept))
    try('EXPIRE', rests, 90000)
  end
end

-- Sums of the day: each pod says its own total, so that nothing said twice counts twice.
local sums, own = prefix .. 'u:' .. day, prefix .. 'v:' .. day
if push.y == day then
  for name, total in pairs(push.u or {}) do
    if #name <= 16 and has_room(own, 200000) and has_room(sums, 512) then
      local field = pod .. ':' .. name
      local new, old = within(total, 0, 1e9), tonumber(redis.call('HGET', own, field)) or 0
      if new > old and try('HSET', own, field, new) then
        try('HINCRBYFLOAT', sums, name, new - old)
        try('EXPIRE', own, 172800)
        try('EXPIRE', sums, 172800)
      end
    end
  end
end

-- Records of outages: whoever names the generation in force may begin the next.
local records, is_changed = prefix .. 'o', false
for id, wish in pairs(push.o or {}) do
  local known = is_id(id) and redis.call('HGET', records, id)
  local one = decoded(known) or {g = 0, s = 'closed', k = 0, a = 0, u = 0, l = 0, c = 0}
  if is_id(id) and one.g == wish[1] and (known or has_room(records, 512)) then
    if wish[2] == 'open' then
      if one.s == 'open' then one.k = math.min(one.k + 1, 8) else
        one.k = (one.c > 0 and ms - one.c < 60000) and math.min(one.k + 1, 8) or 0
        one.a = ms
      end
      local backoff = math.min(120000, 5000 * 2 ^ one.k) * within(wish[3], 0.75, 1.25)
      one.u = ms + math.floor(within(math.max(backoff, within(wish[4], 0, 3e5)), 1000, 300000))
    end
    one.s, one.g, one.c, one.l = wish[2] == 'open' and 'open' or 'closed', one.g + 1, ms, 0
    if try('HSET', records, id, cjson.encode(one)) then is_changed = true end
    try('EXPIRE', records, 900)
  end
end

-- The time to first content and the prompt's tokens, as means that forget.
local warm = prefix .. 'w'
for id, seen in pairs(push.t or {}) do
  if is_id(id) and has_room(warm, 1024) then
    local old = decoded(redis.call('HGET', warm, id))
    local s, tokens = within(seen[1], 0.001, 300), within(seen[2], 1, 1e7)
    if old then s, tokens = old[1] * 0.9 + s * 0.1, old[2] * 0.9 + tokens * 0.1 end
    try('HSET', warm, id, cjson.encode({s, tokens}))
    try('EXPIRE', warm, 3600)
  end
end

-- The view, worked out once in 400 ms for all pods.
local function view()
  local e, q, o, r, u = {}, {}, {}, {}, {}
  for age = 0, 19 do
    local fields = redis.call('HGETALL', prefix .. 'c:' .. (second - age))
    local seen = {}
    for i = 1, #fields, 2 do
      local id, kind, amount = fields[i]:sub(1, 10), fields[i]:sub(11), tonumber(fields[i + 1])
      if amount and (kind == 'q' or kind == 't') then
        q[id] = q[id] or {0, 0}
        q[id][kind == 'q' and 1 or 2] = q[id][kind == 'q' and 1 or 2] + amount
      elseif amount then
        seen[id] = seen[id] or {0, 0}
        seen[id][kind == 'o' and 1 or 2] = amount
      end
    end
    for id, pair in pairs(seen) do
      e[id] = e[id] or {0, 0}
      for _, number in ipairs({age, pair[1], pair[2]}) do table.insert(e[id], number) end
    end
  end
  local ten = math.floor(second / 10)
  for id, one in pairs(e) do
    for place, kind in ipairs({'a', 'p'}) do
      local key = prefix .. kind .. ':'
      one[place] = redis.call('PFCOUNT', key .. ten .. ':' .. id, key .. (ten - 1) .. ':' .. id)
    end
  end
  local fields = redis.call('HGETALL', records)
  for i = 1, #fields, 2 do
    local one = decoded(fields[i + 1])
    if one == nil or (one.c or 0) < ms - 900000 then try('HDEL', records, fields[i]) else
      o[fields[i]] = one
    end
  end
  fields = redis.call('HGETALL', rests)
  for i = 1, #fields, 2 do
    local longest, second_longest = 0, 0
    for _, untl in pairs(decoded(fields[i + 1]) or {}) do
      if untl > longest then longest, second_longest = untl, longest
      elseif untl > second_longest then second_longest = untl end
    end
    if longest <= ms then try('HDEL', rests, fields[i]) else
      r[fields[i]] = {longest, second_longest}
    end
  end
  fields = redis.call('HGETALL', sums)
  for i = 1, #fields, 2 do u[fields[i]] = tonumber(fields[i + 1]) end
  try('ZREMRANGEBYSCORE', live, '-inf', ms - 15000)
  local text = cjson.encode({
    t = ms, n = redis.call('ZCARD', live), y = day, f = is_full, e = e, o = o, r = r, q = q, u = u,
  })
  try('SET', prefix .. 'd', text, 'PX', 3000)
  return text
end

local text = not is_changed and redis.call('GET', prefix .. 'd') or nil
local made = decoded(text)
if made == nil or type(made.t) ~= 'number' or made.t > ms or ms - made.t > 400 then
  text = view()
end
local first = ''
if push.n then
  local means, fields = {}, redis.call('HGETALL', warm)
  for i = 1, #fields, 2 do means[fields[i]] = decoded(fields[i + 1]) end
  first = cjson.encode(means)
end
return {text, first, ms}
