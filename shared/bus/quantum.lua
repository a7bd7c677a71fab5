#!lua name=quantum
-- The suite's writes, each all or nothing. Lua does not roll back, so every check stands before
-- the first write. Keys are named by the caller: the caller's own rights apply to them.
--
-- What can fail inside a commit, and what keeps it from failing half-way:
--   a key of another type        asked before the first write: WRONGTYPE
--   a right that is missing      asked before the first write: NOPERM
--   a list that is too long,     counted before the first write: ERR
--   or has an odd length
--   a stream without ids left    asked before the first write: IDS_AHEAD, and quantum_mend helps
--   an id that is not pending    XACK comes first, and nothing is written if none was pending; the
--                                rights to XPENDING and HSET are those that a read and a start need
--   OOM, READONLY, MISCONF,      the server asks once, before the function or at its first write,
--   NOREPLICAS                   and never between two writes of one function
--   the server is killed         what a function writes is one transaction in the file
-- tests/streams/test_half_commits.py causes each of them.

local VERSION = '2'

-- What each operation needs: the type of its key, and a command that its caller may give.
local NEEDS = {
  A = { type = 'stream', command = { 'XACK', 'group', '0-0' } },
  X = { type = 'stream', in_pairs = true, command = { 'XADD', '*', 'field', 'value' } },
  S = { type = 'hash', in_pairs = true, command = { 'HSET', 'field', 'value' } },
  U = { type = 'hash', command = { 'HDEL', 'field' } },
  D = { type = 'hash', command = { 'DEL' } },
}
-- Lua passes at most about 8,000 words to one call.
local MOST_WORDS = 7000
-- Entries that one trim may remove, which bounds how long it holds the server.
local MOST_TRIMMED = 20000
-- An id of a clock has 13 digits of milliseconds until the year 2286. One of 16 digits was given by
-- hand; the stream that has it may soon have no higher one. No clock is asked: clocks jump.
local FAR_DIGITS = 16

-- Ids are compared as text: Lua's numbers are exact up to 2^53 only, and ids go up to 2^64.
local function parts(id)
  return string.match(id, '^(%d+)-(%d+)$')
end

local function fewer(left, right)
  if #left ~= #right then return #left < #right end
  return left < right
end

local function earlier(left, right)
  local left_ms, left_seq = parts(left)
  local right_ms, right_seq = parts(right)
  if left_ms ~= right_ms then return fewer(left_ms, right_ms) end
  return fewer(left_seq, right_seq)
end

local function is_far(id)
  return #parts(id) >= FAR_DIGITS
end

local function fields_of(flat)
  local fields = {}
  for at = 1, #flat, 2 do fields[flat[at]] = flat[at + 1] end
  return fields
end

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
    local words = operation.last - operation.first + 1
    if words > MOST_WORDS then
      return redis.error_reply('ERR an operation on ' .. key .. ' is too long')
    end
    if needs.in_pairs and words % 2 ~= 0 then
      return redis.error_reply('ERR an operation on ' .. key .. ' has a name without a value')
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

-- The first stream among the outputs that has an id of no clock.
local function driven_ahead(keys, operations)
  local seen = {}
  for _, operation in ipairs(operations) do
    local key = keys[operation.key]
    if operation.kind == 'X' and not seen[key] then
      seen[key] = true
      if redis.call('EXISTS', key) == 1 then
        local last = fields_of(redis.call('XINFO', 'STREAM', key))['last-generated-id']
        if is_far(last) then return key end
      end
    end
  end
end

-- Whether a message that is to be acknowledged had its id changed by quantum_mend meanwhile: then
-- it comes again under the new one, and must not be decided under both.
local function renumbered(keys, operations, args)
  for _, operation in ipairs(operations) do
    if operation.kind == 'A' then
      for at = operation.first + 1, operation.last do
        local key, group, id = keys[operation.key], args[operation.first], args[at]
        if is_far(id) and #redis.call('XPENDING', key, group, id, id, 1) == 0 then return true end
      end
    end
  end
  return false
end

-- KEYS: the daemon's state, then every other key that an operation names by its position.
-- ARGV: epoch, sequence number, then operations: kind, key position, count, that many words.
--   A group id...      acknowledge        X field value...   append to a stream
--   S field value...   set in a hash      U field...         unset in a hash
--   D (nothing)        delete a hash
-- Says OK, REPEATED (this commit was done before), SUPERSEDED (another instance owns the state),
-- LOST (the server forgot earlier commits), NOT_PENDING (the messages are not ours to finish), or
-- IDS_AHEAD with the key of a stream that quantum_mend has to mend first.
local function commit(keys, args)
  local operations = split(args, 3)
  local refused = obstacle(keys, operations)
  if refused then return refused end

  local owner = redis.call('HMGET', keys[1], '_epoch', '_seq')
  if owner[1] == false then return 'LOST' end
  if owner[1] ~= args[1] then return 'SUPERSEDED' end
  if owner[2] == args[2] then return 'REPEATED' end
  if tonumber(owner[2]) + 1 ~= tonumber(args[2]) then return 'LOST' end
  if renumbered(keys, operations, args) then return 'NOT_PENDING' end
  local ahead = driven_ahead(keys, operations)
  if ahead then return { 'IDS_AHEAD', ahead } end

  local wanted, acknowledged, progress = 0, 0, { '_seq', args[2] }
  for _, operation in ipairs(operations) do
    if operation.kind == 'A' then
      wanted = wanted + operation.last - operation.first
      acknowledged = acknowledged
        + redis.call('XACK', keys[operation.key], unpack(args, operation.first, operation.last))
      -- How far the group is, should it ever be gone: all before this is finished.
      local key, group = keys[operation.key], args[operation.first]
      if redis.call('XPENDING', key, group)[1] == 0 then
        progress[#progress + 1] = '_at:' .. key
        progress[#progress + 1] = args[operation.last]
      end
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
  redis.call('HSET', keys[1], unpack(progress))
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

-- KEYS: a stream. ARGV: the most entries, the most bytes. Removes what is beyond, read or not, the
-- oldest first.
local function bound(keys, args)
  local removed = redis.call('XTRIM', keys[1], 'MAXLEN', args[1])
  local length = redis.call('XLEN', keys[1])
  while length > 0 and redis.call('MEMORY', 'USAGE', keys[1], 'SAMPLES', 0) > tonumber(args[2]) do
    length = math.floor(length / 2)
    removed = removed + redis.call('XTRIM', keys[1], 'MAXLEN', length)
  end
  return removed
end

-- KEYS: streams. ARGV: a group. Returns for each how many entries it ever had, and how many of those
-- that it has the group was not given yet; -1 where that cannot be told without counting. (The
-- server's own count, entries-read, is not on its disk: after a start it is another one.)
local function unread(keys, args)
  local counts = {}
  for at, key in ipairs(keys) do
    counts[at] = { 0, -1 }
    local info = redis.call('EXISTS', key) == 1 and fields_of(redis.call('XINFO', 'STREAM', key))
    for _, flat in ipairs(info and redis.call('XINFO', 'GROUPS', key) or {}) do
      local group = fields_of(flat)
      if group['name'] == args[1] then
        local delivered, first, left = group['last-delivered-id'], info['first-entry'], -1
        if not earlier(delivered, info['last-generated-id']) then
          left = 0
        elseif not first or earlier(delivered, first[1]) then
          left = info['length']
        end
        counts[at] = { info['entries-added'], left }
      end
    end
  end
  return counts
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
        local lag = group['lag'] or -1
        -- What was trimmed away unread stays in the server's count, even when all is read.
        local behind = lag ~= 0 and earlier(group['last-delivered-id'], last)
        rows[#rows + 1] = {
          key, group['name'], group['pending'], behind and 1 or 0, behind and lag or 0,
        }
      end
    end
  end
  return rows
end

-- What quantum_mend needs: a command that its caller may give to the stream.
local MEND_NEEDS = {
  { 'XINFO', 'STREAM' }, { 'XINFO', 'GROUPS' }, { 'XRANGE', '-', '+' }, { 'XREVRANGE', '+', '-' },
  { 'XPENDING', 'g', '-', '+', '1' }, { 'XDEL', '1-1' }, { 'XSETID', '1-1' },
  { 'XADD', '*', 'field', 'value' }, { 'XGROUP', 'SETID', 'g', '1-1' },
  { 'XCLAIM', 'g', 'c', '0', '1-1' }, { 'XACK', 'g', '1-1' },
}

local function mend_obstacle(key)
  local found = redis.call('TYPE', key).ok
  if found ~= 'stream' and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found)
  end
  for _, command in ipairs(MEND_NEEDS) do
    local words = { command[1], key, unpack(command, 2) }
    if command[1] == 'XINFO' or command[1] == 'XGROUP' then
      words = { command[1], command[2], key, unpack(command, 3) }
    end
    if not redis.acl_check_cmd(unpack(words)) then
      return redis.error_reply('NOPERM no right to ' .. command[1] .. ' ' .. key)
    end
  end
end

-- Everything about a stream that an id of no clock may have touched, before anything is written.
local function sight(key, highest)
  local info = fields_of(redis.call('XINFO', 'STREAM', key))
  local first = highest .. '-18446744073709551615'
  local function is_ahead(id) return earlier(first, id) end
  local kept = redis.call('XREVRANGE', key, first, '-', 'COUNT', 1)[1]
  local base = kept and kept[1] or '0-1'
  local seen = { info['max-deleted-entry-id'] }
  local groups = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = fields_of(flat)
    group.ahead = redis.call('XPENDING', key, group['name'], '(' .. first, '+', group['pending'] + 1)
    groups[#groups + 1] = group
    seen[#seen + 1] = group['last-delivered-id']
  end
  -- New ids come after all that any reader has had of the ordinary ones.
  for _, id in ipairs(seen) do
    if not is_ahead(id) and earlier(base, id) then base = id end
  end
  return {
    key = key, info = info, groups = groups, base = base, is_ahead = is_ahead,
    entries = redis.call('XRANGE', key, '(' .. first, '+'),
  }
end

-- The stream's counters as they would be had nothing been touched.
local function set_counters(seen, last)
  local deleted = seen.info['max-deleted-entry-id']
  if seen.is_ahead(deleted) or deleted == '0-0' then deleted = '0-1' end
  -- Redis 7.0 and its successors refuse a last id below the highest deleted one: that goes first.
  redis.call('XSETID', seen.key, seen.info['last-generated-id'],
    'ENTRIESADDED', seen.info['entries-added'], 'MAXDELETEDID', deleted)
  redis.call('XSETID', seen.key, last,
    'ENTRIESADDED', seen.info['entries-added'], 'MAXDELETEDID', deleted)
end

-- An entry with more words than one call takes, as one word: `4:name,5:value,` and so on.
local function packed(words)
  local netstrings = {}
  for _, word in ipairs(words) do netstrings[#netstrings + 1] = #word .. ':' .. word .. ',' end
  return { 'packed', table.concat(netstrings) }
end

local function move_group(seen, group, new_ids)
  local key, name, last = seen.key, group['name'], group['last-delivered-id']
  if seen.is_ahead(last) then
    local now = seen.base
    for _, entry in ipairs(seen.entries) do
      if earlier(last, entry[1]) then break end
      now = new_ids[entry[1]]
    end
    redis.call('XGROUP', 'SETID', key, name, now,
      unpack(group['entries-read'] and { 'ENTRIESREAD', group['entries-read'] } or {}))
  end
  for _, row in ipairs(group.ahead) do
    local id, consumer, deliveries = row[1], row[2], row[4]
    -- One that was removed stays pending as it is, and its reader says that it is gone.
    if new_ids[id] then
      redis.call('XCLAIM', key, name, consumer, 0, new_ids[id], 'RETRYCOUNT', deliveries, 'FORCE',
        'JUSTID')
      redis.call('XACK', key, name, id)
    end
  end
end

-- KEYS: a stream and its dead letters, or dead letters alone, twice. ARGV: the highest milliseconds that an id may have, the
-- stream's name, who mends, the time now, the code of the letter that tells of it.
-- Gives entries with higher ids new ones, in their order, and lowers what has counted on from them:
-- the stream's last id, and where each group stands. No entry is lost, none is delivered twice, and
-- what is pending stays so. Returns for each stream mended: key, its last id before and now, entries.
local function mend(keys, args)
  local mended, rows = {}, {}
  local both = keys[1] == keys[2] and { keys[1] } or keys
  for _, key in ipairs(both) do
    local refused = mend_obstacle(key)
    if refused then return refused end
  end
  for _, key in ipairs(both) do
    if redis.call('EXISTS', key) == 1 then
      local seen = sight(key, args[1])
      if seen.is_ahead(seen.info['last-generated-id']) then mended[#mended + 1] = seen end
    end
  end
  for _, seen in ipairs(mended) do
    local new_ids, last = {}, seen.base
    for _, entry in ipairs(seen.entries) do redis.call('XDEL', seen.key, entry[1]) end
    set_counters(seen, last)
    for _, entry in ipairs(seen.entries) do
      local words = #entry[2] > MOST_WORDS and packed(entry[2]) or entry[2]
      last = redis.call('XADD', seen.key, '*', unpack(words))
      new_ids[entry[1]] = last
    end
    set_counters(seen, last)
    for _, group in ipairs(seen.groups) do move_group(seen, group, new_ids) end
    rows[#rows + 1] = { seen.key, seen.info['last-generated-id'], last, #seen.entries }
  end
  for _, row in ipairs(rows) do
    redis.call('XADD', keys[2], '*', 'code', args[5],
      'detail', row[1] .. ' was driven up to ' .. row[2] .. '; ' .. row[4]
        .. ' entries have new ids, the last is ' .. row[3],
      'stream', args[2], 'id', row[2], 'group', args[3], 'at', args[4])
  end
  return rows
end

redis.register_function('quantum_commit', commit)
redis.register_function('quantum_acquire', acquire)
redis.register_function('quantum_mend', mend)
-- Trimming frees memory, so it is allowed when there is none left.
redis.register_function { function_name = 'quantum_trim', callback = trim, flags = { 'allow-oom' } }
redis.register_function { function_name = 'quantum_bound', callback = bound, flags = { 'allow-oom' } }
redis.register_function { function_name = 'quantum_unread', callback = unread, flags = { 'no-writes' } }
redis.register_function { function_name = 'quantum_backlog', callback = backlog, flags = { 'no-writes' } }
redis.register_function {
  function_name = 'quantum_version', callback = function() return VERSION end, flags = { 'no-writes' },
}
