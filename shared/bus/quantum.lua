#!lua name=quantum
-- The suite's writes, each all or nothing. Lua does not roll back, so every check stands before
-- the first write. Keys are named by the caller: the caller's own rights apply to them.

local VERSION = '1'

-- What type a key must have for an operation: nothing may fail half-way through a commit.
local TYPES = { A = 'stream', X = 'stream', H = 'hash' }

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

local function wrong_type(keys, operations)
  local known = {}
  for _, operation in ipairs(operations) do
    local wanted = TYPES[operation.kind] or 'hash'
    local found = known[operation.key] or redis.call('TYPE', keys[operation.key]).ok
    known[operation.key] = found
    if found ~= 'none' and found ~= wanted then
      return redis.error_reply('WRONGTYPE ' .. keys[operation.key] .. ' is a ' .. found)
    end
  end
end

-- KEYS: the daemon's state, then every other key that an operation names by its position.
-- ARGV: epoch, sequence number, then operations: kind, key position, count, that many words.
--   A group id...      acknowledge        X field value...   append to a stream
--   S field value...   set state          U field...         unset state
--   H field value...   replace a hash     D (nothing)        delete a hash
-- Says OK, REPEATED (this commit was done before), SUPERSEDED (another instance owns the state),
-- LOST (the server forgot earlier commits) or NOT_PENDING (the messages are not ours to finish).
local function commit(keys, args)
  local operations = split(args, 3)
  local wrong = wrong_type(keys, operations)
  if wrong then return wrong end

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
    elseif operation.kind == 'H' then
      redis.call('DEL', key)
      redis.call('HSET', key, unpack(args, operation.first, operation.last))
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

-- KEYS: a stream. ARGV: how many entries stay. Removes older ones that every group has finished.
local function trim(keys, args)
  local surplus = redis.call('XLEN', keys[1]) - tonumber(args[1])
  if surplus <= 0 then return 0 end
  local oldest = redis.call('XRANGE', keys[1], '-', '+', 'COUNT', math.min(surplus, 1000) + 1)
  local keep_from = oldest[#oldest][1]
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', keys[1])) do
    local group = fields_of(flat)
    local needed = group['last-delivered-id']
    if group['pending'] > 0 then
      needed = redis.call('XPENDING', keys[1], group['name'])[2]
    end
    if earlier(needed, keep_from) then keep_from = needed end
  end
  return redis.call('XTRIM', keys[1], 'MINID', '=', keep_from)
end

-- KEYS: streams. Returns for each group of each: key, group, pending, whether it is behind, lag.
-- A lag of -1 is one that the server cannot count.
local function backlog(keys)
  local rows = {}
  for _, key in ipairs(keys) do
    if redis.call('EXISTS', key) == 1 then
      local last = fields_of(redis.call('XINFO', 'STREAM', key))['last-generated-id']
      for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
        local group = fields_of(flat)
        local behind = earlier(group['last-delivered-id'], last) and 1 or 0
        rows[#rows + 1] = { key, group['name'], group['pending'], behind, group['lag'] or -1 }
      end
    end
  end
  return rows
end

redis.register_function('quantum_commit', commit)
redis.register_function('quantum_acquire', acquire)
redis.register_function('quantum_trim', trim)
redis.register_function { function_name = 'quantum_backlog', callback = backlog, flags = { 'no-writes' } }
redis.register_function {
  function_name = 'quantum_version', callback = function() return VERSION end, flags = { 'no-writes' },
}
