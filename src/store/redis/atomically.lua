-- Checks the guards, then that no command can fail, then runs the commands. A script of Redis is not
-- taken back when one of its calls fails, so what could fail is looked for first.
--
-- KEYS  every key, once
-- ARGV  how many guards; per guard: `value` or `field`, index of the key, field, 1 if something must be
--       there or 0 if nothing may, what must be there; then per command: its number, the type it needs
--       or `*`, index of the key, name (empty: it only reads and is not run), how many arguments, the
--       arguments
-- Gives 0: applied; 1 and more: this guard did not hold; {why, number}: nothing was changed.

local at = 1
local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end

local function type_at(key)
  local type = redis.call('TYPE', key)
  return type.ok or type
end

for guard = 1, tonumber(take()) do
  local kind = take()
  local key = KEYS[tonumber(take())]
  local field = take()
  local present = take() == '1'
  local is = take()
  local holds
  if kind == 'value' and not present then
    holds = redis.call('EXISTS', key) == 0
  else
    local type = type_at(key)
    if type ~= 'none' and type ~= (kind == 'value' and 'string' or 'hash') then
      return {'GUARDTYPE', guard - 1}
    end
    local held
    if kind == 'value' then
      held = redis.call('GET', key)
    else
      held = redis.call('HGET', key, field)
    end
    if present then
      holds = held == is
    else
      holds = not held
    end
  end
  if not holds then
    return guard
  end
end

-- Whole numbers of 64 bits as two parts of one sign, the lower of nine digits: a number of Lua holds
-- only 53 bits.
local function parse(text)
  local sign, digits = string.match(text, '^(%-?)(%d+)$')
  if not digits or #digits > 19 or (#text > 1 and string.sub(digits, 1, 1) == '0') then
    return nil
  end
  local high = tonumber(string.sub(digits, 1, -10)) or 0
  local low = tonumber(string.sub(digits, -9))
  if sign == '-' then
    return -high, -low
  end
  return high, low
end

local function fits(high, low)
  if high > 0 or low > 0 then
    return high < 9223372036 or (high == 9223372036 and low <= 854775807)
  end
  return high > -9223372036 or (high == -9223372036 and low >= -854775808)
end

-- The sum as text; or nil and why there is none.
local function add(text, by)
  local high, low = parse(text)
  if not high or not fits(high, low) then
    return nil, 'NOTNUMBER'
  end
  local more_high, more_low = parse(by)
  high, low = high + more_high, low + more_low
  if low >= 1e9 then
    high, low = high + 1, low - 1e9
  elseif low <= -1e9 then
    high, low = high - 1, low + 1e9
  end
  if high > 0 and low < 0 then
    high, low = high - 1, low + 1e9
  elseif high < 0 and low > 0 then
    high, low = high + 1, low - 1e9
  end
  if not fits(high, low) then
    return nil, 'OVERFLOW'
  end
  local sign = (high < 0 or low < 0) and '-' or ''
  high, low = math.abs(high), math.abs(low)
  if high == 0 then
    return sign .. string.format('%d', low)
  end
  return sign .. string.format('%d%09d', high, low)
end

-- The keys as the commands so far will have left them: type, text, fields (false: gone), and whether
-- all that is there now will be gone. A key whose last member goes keeps its type here: who gives it
-- another one in the same batch is refused.
local types, texts, fields, gone = {}, {}, {}, {}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function lose(key)
  types[key], texts[key], fields[key], gone[key] = 'none', nil, {}, true
end

local function field_at(key, field)
  local held = fields[key] and fields[key][field]
  if held == nil and not gone[key] then
    held = redis.call('HGET', key, field)
  end
  return held
end

local function set_field(key, field, value)
  if not fields[key] then
    fields[key] = {}
  end
  fields[key][field] = value
end

local adds = {HSET = 'hash', SADD = 'set', ZADD = 'zset', ZINCRBY = 'zset'}
local commands = {}

while at <= #ARGV do
  local number = tonumber(take())
  local needs = take()
  local key = KEYS[tonumber(take())]
  local name = take()
  local count = tonumber(take())
  local first = at
  at = at + count

  local type = types[key]
  if not type then
    type = type_at(key)
    types[key] = type
  end
  if needs ~= '*' and type ~= 'none' and type ~= needs then
    return {'WRONGTYPE', number}
  end

  if name == 'SET' then
    lose(key)
    if count == 1 or tonumber(ARGV[first + 2]) > now then
      types[key], texts[key] = 'string', ARGV[first]
    end
  elseif name == 'DEL' or (name == 'PEXPIREAT' and tonumber(ARGV[first]) <= now) then
    lose(key)
  elseif name == 'INCRBY' then
    local held = texts[key]
    if held == nil and not gone[key] then
      held = redis.call('GET', key)
    end
    local sum, why = add(held or '0', ARGV[first])
    if not sum then
      return {why, number}
    end
    types[key], texts[key] = 'string', sum
  elseif name == 'HINCRBY' then
    local sum, why = add(field_at(key, ARGV[first]) or '0', ARGV[first + 1])
    if not sum then
      return {why, number}
    end
    types[key] = 'hash'
    set_field(key, ARGV[first], sum)
  elseif name == 'HSET' then
    for i = first, at - 1, 2 do
      set_field(key, ARGV[i], ARGV[i + 1])
    end
  elseif name == 'HDEL' then
    for i = first, at - 1 do
      set_field(key, ARGV[i], false)
    end
  end
  types[key] = adds[name] or types[key]
  if name ~= '' then
    commands[#commands + 1] = {name, key, first, at - 1}
  end
end

for _, command in ipairs(commands) do
  redis.call(command[1], command[2], unpack(ARGV, command[3], command[4]))
end
return 0
