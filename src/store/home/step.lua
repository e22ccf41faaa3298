-- One step of a machine that several processes share: writes the rows that a process changed, if no other process
-- was faster; otherwise returns the others' changes.
--
-- KEYS  the machine's rows (a hash; `@` is the version), its log (a hash: number -> version and the names of the
--       rows that changed with it)
-- ARGV  the version of the process's copy; the new version (empty: nothing changes); the versions of an empty home
--       from before it lost its rows (or empty); the length of the log; the lifetime of the log in milliseconds; a
--       channel; a message for it (or empty); the lifetime of the rows in milliseconds (0: unlimited); the names of
--       the changed rows; the number of removed rows; the removed rows; then name and text of each other row
-- Returns {result, seconds, microseconds, version, number of versions, versions, ...}; result: 0 accepted, 1 changed
--       since (then names and texts in turn), 2 the whole content (in the same form)

local rows, log = KEYS[1], KEYS[2]
local base, next, before, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local clock = redis.call('TIME')
local at = redis.call('HGET', rows, '@') or ''

local function number(version)
  return tonumber(string.match(version, '^(%d+):')) or 0
end

local function field(count)
  return string.format('%.0f', count)
end

-- Lua's stack holds only some thousands of arguments.
local function in_parts(command, key, from, to)
  while from <= to do
    local last = math.min(from + 1999, to)
    redis.call(command, key, unpack(ARGV, from, last))
    from = last + 1
  end
end

if at == base then
  if next ~= '' then
    local gone = tonumber(ARGV[10])
    in_parts('HDEL', rows, 11, 10 + gone)
    in_parts('HSET', rows, 11 + gone, #ARGV)
    redis.call('HSET', rows, '@', next)
    if at == '' then
      for version in string.gmatch(before, '%S+') do
        -- A copy cannot continue from these, but a copy with one of them knows that steps were lost.
        redis.call('HSET', log, field(number(version)), '-' .. version)
      end
    end
    local count = number(next)
    redis.call('HSET', log, field(count), next .. ' ' .. ARGV[9])
    redis.call('HDEL', log, field(count - keep))
    redis.call('PEXPIRE', log, ARGV[5])
    if ARGV[8] == '0' then
      redis.call('PERSIST', rows)
    else
      redis.call('PEXPIRE', rows, ARGV[8])
    end
    if ARGV[7] ~= '' then
      redis.call('PUBLISH', ARGV[6], ARGV[7])
    end
  end
  return {0, clock[1], clock[2], next, 0}
end

local out = {1, clock[1], clock[2], at, 0}
local from, to = number(base), number(at)
if base ~= '' and from < to and to - from < keep then
  local fields = {}
  for count = from, to do
    fields[#fields + 1] = field(count)
  end
  local entries = redis.call('HMGET', log, unpack(fields))
  local whole = entries[1] and string.match(entries[1], '^%S+') == base
  local names, seen = {}, {}
  for index = 2, #entries do
    local entry = entries[index]
    if not entry then
      whole = false
      break
    end
    local words = string.gmatch(entry, '%S+')
    out[#out + 1] = words()
    for name in words do
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  if whole then
    out[5] = #entries - 1
    for first = 1, #names, 1000 do
      local last = math.min(first + 999, #names)
      local texts = redis.call('HMGET', rows, unpack(names, first, last))
      for index = first, last do
        out[#out + 1] = names[index]
        out[#out + 1] = texts[index - first + 1]
      end
    end
    return out
  end
end

out = {2, clock[1], clock[2], at, 0}
local entries = redis.call('HVALS', log)
for index = 1, #entries do
  -- Versions from before the loss have a mark.
  out[#out + 1] = string.match(entries[index], '^%S+')
end
out[5] = #entries
local all = redis.call('HGETALL', rows)
for index = 1, #all do
  out[#out + 1] = all[index]
end
return out
