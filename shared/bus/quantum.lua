#!lua name=quantum
-- The suite's writes, each all or nothing. Lua does not roll back, so every check stands before
-- the first write. Keys are named by the caller: the caller's own rights apply to them.

local VERSION = '1'

-- What each operation needs: the type of its key, and a command that its caller may give.
local NEEDS = {
  A = { type = 'stream', command = { 'XACK', 'group', '0-0' } },
  X = { type = 'stream', command = { 'XADD', '*', 'field', 'value' } },
  S = { type = 'hash', command = { 'HSET', 'field', 'value' } },
  U = { type = 'hash', command = { 'HDEL', 'field' } },
  D = { type = 'hash', command = { 'DEL' } },
}
-- Lua passes at most about 8,000 words to one call.
local MOST_WORDS = 7000
-- Entries that one trim may remove, which bounds how long it holds the server.
local MOST_TRIMMED = 20000

local function split(args, first)
  local operations = {}
  local at = first
  while at <= #args do
    local count = tonumber(args[at + 2])
    operations[#operations + 1] = {
      kind = args[at], key = tonumber(args[at + 1]), first = at + 3, last = at + 2 + count,
    }
    at = at + 3 + count
  end
  return operations
end

-- Why a commit would fail half-way, if it would.
local function obstacle(keys, operations)
  local types, allowed = {}, {}
  for _, operation in ipairs(operations) do
    local key, needs = keys[operation.key], NEEDS[operation.kind]
    local found = types[key] or redis.call('TYPE', key).ok
    if found == 'none' then found = needs.type end
    types[key] = found
    if found ~= needs.type then
      return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found)
    end
    if operation.last - operation.first >= MOST_WORDS then
      return redis.error_reply('ERR an operation on ' .. key .. ' is too long')
    end
    local name = operation.kind .. key
    if not allowed[name] then
      allowed[name] = redis.acl_check_cmd(needs.command[1], key, unpack(needs.command, 2))
      if not allowed[name] then
        return redis.error_reply('NOPERM no right to ' .. needs.command[1] .. ' ' .. key)
      end
    end
  end
end

-- KEYS: the daemon's state, then every other key that an operation names by its position.
-- ARGV: epoch, sequence number, then operations: kind, key position, count, that many words.
--   A group id...      acknowledge        X field value...   append to a stream
--   S field value...   set in a hash      U field...         unset in a hash
--   D (nothing)        delete a hash
-- Says OK, REPEATED (this commit was done before), SUPERSEDED (another instance owns the state),
-- LOST (the server forgot earlier commits) or NOT_PENDING (the messages are not ours to finish).
local function commit(keys, args)
  local operations = split(args, 3)
  local refused = obstacle(keys, operations)
  if refused then return refused end

  local owner = redis.call('HMGET', keys[1], '_epoch', '_seq')
  if owner[1] == false then return 'LOST' end
  if owner[1] ~= args[1] then return 'SUPERSEDED' end
  if owner[2] == args[2] then return 'REPEATED' end
  if tonumber(owner[2]) + 1 ~= tonumber(args[2]) then return 'LOST' end

  local wanted, acknowledged = 0, 0
  for _, operation in ipairs(operations) do
    if operation.kind == 'A' then
      wanted = wanted + operation.last - operation.first
      acknowledged = acknowledged
        + redis.call('XACK', keys[operation.key], unpack(args, operation.first, operation.last))
    end
  end
  if wanted > 0 and acknowledged == 0 then return 'NOT_PENDING' end

  for _, operation in ipairs(operations) do
    local key = keys[operation.key]
    if operation.kind == 'X' then
      redis.call('XADD', key, '*', unpack(args, operation.first, operation.last))
    elseif operation.kind == 'S' then
      redis.call('HSET', key, unpack(args, operation.first, operation.last))
    elseif operation.kind == 'U' then
      redis.call('HDEL', key, unpack(args, operation.first, operation.last))
    elseif operation.kind == 'D' then
      redis.call('DEL', key)
    end
  end
  redis.call('HSET', keys[1], '_seq', args[2])
  return 'OK'
end

-- KEYS: the daemon's state. ARGV: who asks, for people. Returns the new epoch.
-- The server's clock makes an epoch unique even after the state was wiped.
local function acquire(keys, args)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local before = tonumber(redis.call('HGET', keys[1], '_epoch') or '0')
  local epoch = string.format('%.0f', math.max(now, before + 1))
  redis.call('HSET', keys[1], '_epoch', epoch, '_seq', '0', '_owner', args[1])
  return epoch
end

local function fields_of(flat)
  local fields = {}
  for at = 1, #flat, 2 do fields[flat[at]] = flat[at + 1] end
  return fields
end

local function parts(id)
  local milliseconds, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(milliseconds), tonumber(sequence)
end

local function earlier(left, right)
  local left_ms, left_seq = parts(left)
  local right_ms, right_seq = parts(right)
  return left_ms < right_ms or (left_ms == right_ms and left_seq < right_seq)
end

-- The oldest entry that a group of the stream has not finished, or the newest that all have.
local function needed_from(key)
  local oldest = fields_of(redis.call('XINFO', 'STREAM', key))['last-generated-id']
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = fields_of(flat)
    local needed = group['last-delivered-id']
    if group['pending'] > 0 then
      needed = redis.call('XPENDING', key, group['name'])[2]
    end
    if earlier(needed, oldest) then oldest = needed end
  end
  return oldest
end

-- KEYS: streams. ARGV: for each, how many entries stay. Removes older ones that every group has
-- finished, whole nodes at a time, which costs little: a few more may stay, never fewer.
local function trim(keys, args)
  local removed = 0
  for at, key in ipairs(keys) do
    local surplus = redis.call('XLEN', key) - tonumber(args[at])
    if surplus > 0 then
      removed = removed + redis.call('XTRIM', key, 'MINID', '~', needed_from(key),
        'LIMIT', math.min(surplus, MOST_TRIMMED))
    end
  end
  return removed
end

-- KEYS: streams. Returns for each group of each: key, group, pending, whether it is behind, lag.
-- A lag of -1 is one that the server cannot count.
local function backlog(keys)
  local rows = {}
  for _, key in ipairs(keys) do
    if redis.call('EXISTS', key) == 1 then
      for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
        local group = fields_of(flat)
        local lag = group['lag']
        local behind = lag ~= 0
        if not lag then
          local last = fields_of(redis.call('XINFO', 'STREAM', key))['last-generated-id']
          behind = earlier(group['last-delivered-id'], last)
        end
        rows[#rows + 1] = { key, group['name'], group['pending'], behind and 1 or 0, lag or -1 }
      end
    end
  end
  return rows
end

redis.register_function('quantum_commit', commit)
redis.register_function('quantum_acquire', acquire)
-- Trimming frees memory, so it is allowed when there is none left.
redis.register_function { function_name = 'quantum_trim', callback = trim, flags = { 'allow-oom' } }
redis.register_function { function_name = 'quantum_backlog', callback = backlog, flags = { 'no-writes' } }
redis.register_function {
  function_name = 'quantum_version', callback = function() return VERSION end, flags = { 'no-writes' },
}
