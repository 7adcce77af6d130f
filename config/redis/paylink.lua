#!lua name=paylink

-- What changes the state of a link or an attempt in Redis, atomically and by Redis'
-- own clock. It knows nothing of HTTP, PostgreSQL or gateways; a view needs no function,
-- it is one plain HMGET.
--
-- Keys: everything of a link lies in one hash slot, NN = first byte of the link id % 16.
--   paylink:{NN}:link:HH      hash    one link (HH: 32 hex digits)
--   paylink:{NN}:attempt:AA   hash    one attempt (AA: 32 hex digits), NN of its link
--   paylink:{NN}:guard:HH     hash    which cards were tried through a link, by attempt; see the guard below
--   paylink:{CC}:client:CCCC  zset    attempts of a client's address (hashed: 32 hex digits) by time; CC from the hash
--   paylink:{NN}:submit|open|want|renew   streams, consumer group "worker"
--   paylink:{NN}:brand:HH     hash    type (css | png | absent) and body, as the edge serves them
--   paylink:{NN}:document:HH  hash    type (pdf | png) and body of a document, for ten minutes; HH is the hash of the words
--                             that say what it shows (worker/outbox/document.h), NN from the hash
--   paylink:{NN}:renewed:HH   string  when new links were asked for in place of this one, in ms, "1 2 3"
--   paylink:{NN}:wanted:HH|AA|TAG:VERSION:HH  set while a want of it is fresh; wanted:brand: of any brand
--   paylink:{NN}:events       channel "link HH VERSION STATE" (look at it again), "attempt AA STATE",
--                                     "brand HH TYPE", "document HH TYPE"
--
-- Link fields that are read here (all text, times in ms since the epoch, "" is the same as absent):
--   state       active | paid | disabled (by its merchant, for now) | replaced | void | revoked |
--               absent (PostgreSQL does not know it)
--   version     1 … 2^32-1, grows with every change of totals or state
--   due_minor   what this version asks for
--   opened_ms expires_ms   set once, by `open` or by the publisher
--   lifetime_ms ceiling_ms how long it lives after opening; when it dies if it is never opened
--   overpay     "1": an old page may still pay a link that was settled through other channels,
--   overpay_minor          with exactly this amount
--   dues choose partial_min_minor   what each invoice asks for, "6000,0,2500"; "1": payers may choose invoices; they
--                   may pay less than is due, from this on
--   email_masked    its customer's address, for eyes only; "": no new link can be mailed
--   lang lang_set   the language of its texts; "1": its customer has set it, so that nobody else's is asked for
--   text:TAG        the same texts in another language, for this version; here alone, not in PostgreSQL
--   paying paying_ms       the attempt that is under way, since when; here alone, not in PostgreSQL
--
-- Replies are flat arrays of bulk strings; unusable arguments are errors.

local DAY_MS = 86400000
local ATTEMPT_TTL_MS = 7 * DAY_MS
local WANTED_TTL_MS = 500
-- An opened link stays for this long after its end, to say "expired" without asking the worker.
local EXPIRED_TTL_MS = DAY_MS
-- A submission opens its link, which lives for a day from then.
local GUARD_TTL_MS = 2 * DAY_MS
-- When to come again while an attempt that is on its way takes up the last place.
local GUARD_PENDING_MS = 60000
-- How often a new link may be asked for in place of an expired one.
local RENEW_MAX = 3
local RENEW_WINDOW_MS = DAY_MS
local RENEW_GAP_MS = 60000
-- unpack() has a bounded stack; a record has about thirty fields.
local ARGUMENTS_MAX = 256

local LINK_STATES = {
  active = true, paid = true, disabled = true, replaced = true, void = true, revoked = true, absent = true,
}

-- An attempt never goes back to a lower rank. `absent` is the lowest: "PostgreSQL does not
-- know it" says nothing against a submission that still waits in the stream. `captured`
-- beats everything, a late success after a decline included.
local ATTEMPT_RANK = {
  absent = 0, received = 1, charging = 2, unknown = 3, action_required = 3,
  declined = 4, refused = 4, captured = 5,
}

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- tostring() would write 1.7e+12 for some times.
local function decimal(number)
  return string.format('%.0f', number)
end

local function number_of(text)
  if not text or text == '' then return nil end
  return tonumber(text)
end

local function events_channel(key)
  return string.match(key, '^paylink:{%x%x}:') .. 'events'
end

local function link_tell(key, id, version, state)
  redis.call('PUBLISH', events_channel(key), 'link ' .. id .. ' ' .. version .. ' ' .. state)
end

local function check(keys, key_count, args, arg_count)
  if #keys ~= key_count or #args < arg_count then
    return redis.error_reply('ERR paylink: wrong number of keys or arguments')
  end
  for i = 1, key_count do
    if not string.find(keys[i], '^paylink:{%x%x}:') then
      return redis.error_reply('ERR paylink: a key outside paylink:{NN}:')
    end
  end
  return nil
end

-- nil when Redis does not have the link.
local function link_read(key)
  local v = redis.call('HMGET', key, 'state', 'version', 'due_minor', 'opened_ms', 'expires_ms',
    'lifetime_ms', 'ceiling_ms', 'overpay', 'overpay_minor', 'paying', 'paying_ms', 'lang', 'lang_set',
    'dues', 'choose', 'partial_min_minor', 'email_masked')
  if not v[1] then return nil end
  return {
    state = v[1], version = v[2] or '', due_minor = v[3] or '',
    opened_ms = number_of(v[4]), expires_ms = number_of(v[5]),
    -- No link lives longer than a day after opening, whatever was published.
    lifetime_ms = math.min(number_of(v[6]) or DAY_MS, DAY_MS),
    ceiling_ms = number_of(v[7]), overpay = v[8] == '1', overpay_minor = v[9] or '',
    paying = v[10] or nil, paying_ms = v[11] or nil, lang_set = v[13] == '1' and v[12] or nil,
    dues = v[14] or '', choose = v[15] == '1', partial_min = number_of(v[16]),
    mailable = (v[17] or '') ~= '',
  }
end

local function link_end(link)
  if link.opened_ms then return link.expires_ms or link.opened_ms + link.lifetime_ms end
  return link.ceiling_ms
end

local function link_expired(link, now)
  local at = link_end(link)
  return at ~= nil and now >= at
end

-- Starts the clock, exactly once. The entry in the stream makes the worker keep it in PostgreSQL.
local function link_start(link, key, stream, id, source, now)
  link.opened_ms = now
  link.expires_ms = now + link.lifetime_ms
  redis.call('HSET', key, 'opened_ms', decimal(now), 'expires_ms', decimal(link.expires_ms))
  -- A record that vanished earlier would be asked for again, and until the opening is in
  -- PostgreSQL it would come back unopened.
  local keep_ms = link.lifetime_ms + EXPIRED_TTL_MS
  local ttl_ms = redis.call('PTTL', key)
  if ttl_ms >= 0 and ttl_ms < keep_ms then redis.call('PEXPIRE', key, keep_ms) end
  redis.call('XADD', stream, '*', 'link', id, 'opened_ms', decimal(now), 'source', source)
end

-- KEYS link, open stream; ARGV HH, source (human | view | submit)
-- -> { status, opened_ms, expires_ms }
-- status: opened (by this call) | already | expired | paid | disabled | replaced | void | revoked | absent | missing
local function open(keys, args)
  local wrong = check(keys, 2, args, 2)
  if wrong then return wrong end
  local link = link_read(keys[1])
  if not link then return { 'missing', '', '' } end
  local now = now_ms()
  local status = link.state
  if status == 'active' then
    if link_expired(link, now) then
      status = 'expired'
    elseif link.opened_ms then
      status = 'already'
    else
      link_start(link, keys[1], keys[2], args[1], args[2], now)
      link_tell(keys[1], args[1], link.version, link.state)
      status = 'opened'
    end
  end
  return {
    status,
    link.opened_ms and decimal(link.opened_ms) or '',
    link.expires_ms and decimal(link.expires_ms) or '',
  }
end

-- What the chosen invoices (their positions, "1,3") ask for together, or nil.
local function chosen_minor(link, chosen)
  if not link.choose then return nil end
  local dues, sum = {}, 0
  for due in string.gmatch(link.dues, '%d+') do dues[#dues + 1] = tonumber(due) end
  for position in string.gmatch(chosen, '%d+') do sum = sum + (dues[tonumber(position)] or 0) end
  return decimal(sum)
end

-- Amounts are compared as text: they have one spelling, and 16 digits do not fit into Lua's numbers.
local function amount_allowed(link, amount_minor, chosen)
  local due_minor = link.due_minor
  if chosen ~= '' then due_minor = chosen_minor(link, chosen) end
  if amount_minor == due_minor then return true end
  return due_minor ~= nil and link.partial_min ~= nil and number_of(amount_minor) < number_of(due_minor)
    and number_of(amount_minor) >= link.partial_min
end

-- Why the link cannot take this submission, or nil.
local function submit_refusal(link, version, amount_minor, chosen, now)
  if link.state == 'paid' and link.overpay and not link_expired(link, now)
    and amount_minor == link.overpay_minor
    and number_of(version) < number_of(link.version) then
    return nil
  end
  if link.state ~= 'active' then return link.state end
  if link_expired(link, now) then return 'expired' end
  if version ~= link.version then return 'stale' end
  if not amount_allowed(link, amount_minor, chosen) then return 'amount' end
  return nil
end

-- The card-testing guard of a link. A field for each attempt that is on its way ("pending:CARD") or was
-- declined ("declined:CARD"); whatever else becomes of an attempt takes its field away. So an attempt counts
-- once, however often it is sent or answered, and what is on its way holds its place: no burst gets past the
-- limits before its answers come.
--
-- A payment method is new each time a card is typed, so which card it stands for is known only from the
-- answer. Until then CARD is the payment method, afterwards what the gateway says of the card (brand and last
-- digits): whoever mistypes the code of one card three times has tried one card. Refused is
--   declines  who would make more attempts declined or on their way than `declines_max`
--   cards     who would make more different cards declined or on their way than `cards_max`
-- With 5 and 3: three cards may be tried, five times in all. A fourth is refused, and so is everything once
-- three cards were declined, because it may be a fourth. A limit of 0 is none.
local function guarded(args)
  return args[7] ~= '0' or args[8] ~= '0'
end

local function guard_refusal(key, link, card, declines_max, cards_max, now)
  local cards, card_count, attempt_count, pending = { [card] = true }, 1, 1, false
  for _, value in ipairs(redis.call('HVALS', key)) do
    local state, known = string.match(value, '^(%a+):(.*)$')
    attempt_count = attempt_count + 1
    pending = pending or state == 'pending'
    if not cards[known] then
      cards[known] = true
      card_count = card_count + 1
    end
  end
  local retry_ms = decimal(pending and GUARD_PENDING_MS or math.max((link_end(link) or now) - now, 0))
  if declines_max > 0 and attempt_count > declines_max then return 'declines', link, retry_ms end
  if cards_max > 0 and card_count > cards_max then return 'cards', link, retry_ms end
  return nil, link
end

local function guard_write(key, attempt, state, card)
  redis.call('HSET', key, attempt, state .. ':' .. card)
  redis.call('PEXPIRE', key, GUARD_TTL_MS)
end

-- An attempt that never reached the gateway has tested no card.
local function guard_answer(key, attempt, state, fields)
  if state == 'declined' and fields.reason ~= 'not_received' then
    local known = string.match(redis.call('HGET', key, attempt) or '', '^%a+:(.*)$')
    guard_write(key, attempt, state, fields.card or known or attempt)
  else
    redis.call('HDEL', key, attempt)
  end
end

-- What stands against a submission, or nil; then the link and, from the guard, when to come again.
-- The first three KEYS and eight ARGV of `submit` and `check`.
local function submit_judge(keys, args, now)
  local link = link_read(keys[1])
  -- First of all: whoever sends an attempt again gets its result, however late. Only `absent`
  -- (asked for, never seen) may be submitted still.
  local known = redis.call('HMGET', keys[2], 'state')[1]
  if known and known ~= 'absent' then return 'duplicate', link end
  if not link then return 'missing' end
  local refusal = submit_refusal(link, args[3], args[4], args[6], now)
  if refusal then return refusal, link end
  if not guarded(args) then return nil, link end
  return guard_refusal(keys[3], link, args[5], tonumber(args[7]), tonumber(args[8]), now)
end

local function submit_wrong(keys, key_count, args, arg_count)
  local wrong = check(keys, key_count, args, arg_count)
  if wrong then return wrong end
  if not number_of(args[3]) or not number_of(args[7]) or not number_of(args[8]) then
    return redis.error_reply('ERR paylink: version or a limit is not a number')
  end
  return nil
end

local function submit_reply(status, link, retry_ms)
  return { status, link and link.version or '', link and link.due_minor or '', retry_ms }
end

-- KEYS link, attempt, guard; ARGV HH, AA, version, amount_minor, payment_method, chosen, declines_max, cards_max
-- -> as `submit` would answer, `acceptable` instead of accepted; changes nothing
local function check_submit(keys, args)
  local wrong = submit_wrong(keys, 3, args, 8)
  if wrong then return wrong end
  local refusal, link, retry_ms = submit_judge(keys, args, now_ms())
  return submit_reply(refusal or 'acceptable', link, retry_ms)
end

-- KEYS link, attempt, guard, submit stream, open stream
-- ARGV HH, AA, version, amount_minor, payment_method, chosen (positions of invoices, "1,3"; "": all),
-- declines_max, cards_max, client, lang (of the page)
-- -> { status, version, due_minor }, both as Redis has them now, "" when missing; from the guard also retry_ms
-- status: accepted | duplicate | stale | amount | expired | paid | disabled | replaced | void | revoked | absent |
--         missing | declines | cards
-- The submit stream gets: attempt link version amount_minor payment_method at_ms opened_ms client lang chosen overpay(0|1)
local function submit(keys, args)
  local wrong = submit_wrong(keys, 5, args, 10)
  if wrong then return wrong end
  local id, attempt, version, amount_minor = args[1], args[2], args[3], args[4]
  local now = now_ms()
  local refusal, link, retry_ms = submit_judge(keys, args, now)
  if refusal then return submit_reply(refusal, link, retry_ms) end
  if not link.opened_ms then link_start(link, keys[1], keys[5], id, 'submit', now) end
  local lang = link.lang_set or args[10]
  redis.call('HSET', keys[2], 'state', 'received', 'link', id, 'version', version,
    'amount_minor', amount_minor, 'at_ms', decimal(now), 'lang', lang)
  redis.call('PEXPIRE', keys[2], ATTEMPT_TTL_MS)
  if guarded(args) then guard_write(keys[3], attempt, 'pending', args[5]) end
  redis.call('HSET', keys[1], 'paying', attempt, 'paying_ms', decimal(now))
  link_tell(keys[1], id, link.version, link.state)
  redis.call('XADD', keys[4], '*', 'attempt', attempt, 'link', id, 'version', version,
    'amount_minor', amount_minor, 'payment_method', args[5], 'at_ms', decimal(now),
    'opened_ms', decimal(link.opened_ms), 'client', args[9], 'lang', lang, 'chosen', args[6],
    'overpay', link.state == 'paid' and '1' or '0')
  return submit_reply('accepted', link)
end

-- KEYS client; ARGV AA, limit, window_ms -> { counted | known | full, retry_ms }
-- Of any window no more than `limit` different attempts are let through. A client has a slot of its own, so that
-- the limit holds over all links; one that is refused does not count, and one that is sent again counts once.
local function velocity(keys, args)
  local wrong = check(keys, 1, args, 3)
  if wrong then return wrong end
  local limit, window_ms = number_of(args[2]), number_of(args[3])
  if not limit or not window_ms then return redis.error_reply('ERR paylink: velocity needs a limit and a window') end
  local now = now_ms()
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', decimal(now - window_ms))
  if redis.call('ZSCORE', keys[1], args[1]) then return { 'known' } end
  if redis.call('ZCARD', keys[1]) >= limit then
    local first = redis.call('ZRANGE', keys[1], -limit, -limit, 'WITHSCORES')
    return { 'full', decimal(tonumber(first[2]) + window_ms - now) }
  end
  redis.call('ZADD', keys[1], decimal(now), args[1])
  redis.call('PEXPIRE', keys[1], decimal(window_ms))
  return { 'counted' }
end

-- Whether another new link may be asked for now; if so, that it was is kept.
local function renew_allowed(key, now)
  local times, last = {}, nil
  for at in string.gmatch(redis.call('GET', key) or '', '%d+') do
    if now - tonumber(at) < RENEW_WINDOW_MS then
      times[#times + 1] = at
      last = tonumber(at)
    end
  end
  if #times >= RENEW_MAX or last and now - last < RENEW_GAP_MS then return false end
  times[#times + 1] = decimal(now)
  redis.call('SET', key, table.concat(times, ' '), 'PX', RENEW_WINDOW_MS)
  return true
end

-- KEYS link, renew stream, renewed; ARGV HH, lang (of the page)
-- -> { queued | limited | refused | absent | missing }
-- Refused: it has not expired, or there is nobody to write to. The payer is told the same in every case but the last two.
-- The renew stream gets: link opened_ms at_ms lang
local function renew(keys, args)
  local wrong = check(keys, 3, args, 2)
  if wrong then return wrong end
  local link = link_read(keys[1])
  if not link then return { 'missing' } end
  if link.state == 'absent' then return { 'absent' } end
  local now = now_ms()
  if link.state ~= 'active' or not link.mailable or not link_expired(link, now) then return { 'refused' } end
  if not renew_allowed(keys[3], now) then return { 'limited' } end
  redis.call('XADD', keys[2], '*', 'link', args[1], 'opened_ms', link.opened_ms and decimal(link.opened_ms) or '',
    'at_ms', decimal(now), 'lang', link.lang_set or args[2])
  return { 'queued' }
end

-- KEYS wanted, want stream; ARGV kind (link | attempt | text | brand | document), HH, what of it: "" | AA | TAG | "" |
-- the words that say what it shows
-- -> { queued | already }
local function want(keys, args)
  local wrong = check(keys, 2, args, 3)
  if wrong then return wrong end
  if not redis.call('SET', keys[1], '1', 'NX', 'PX', WANTED_TTL_MS) then return { 'already' } end
  redis.call('XADD', keys[2], '*', 'kind', args[1], 'link', args[2], 'of', args[3])
  return { 'queued' }
end

local function pairs_read(args, first)
  if (#args - first) % 2 ~= 1 or #args > ARGUMENTS_MAX then return nil end
  local fields = {}
  for i = first, #args, 2 do fields[args[i]] = args[i + 1] end
  return fields
end

local function flat(fields)
  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  return list
end

-- KEYS link; ARGV HH, version, ttl_ms, field, value, … (`state` among them) -> { published | older }
-- Replaces the whole record unless Redis has a newer version. The earliest opening survives,
-- with its end: neither a slow snapshot nor a flush gives a link a second day.
local function publish(keys, args)
  local wrong = check(keys, 1, args, 5)
  if wrong then return wrong end
  local fields = pairs_read(args, 4)
  local version, ttl_ms = number_of(args[2]), number_of(args[3])
  if not fields or not version or not ttl_ms or not LINK_STATES[fields.state] then
    return redis.error_reply('ERR paylink: publish needs a version, a ttl and pairs with a state')
  end
  local old = link_read(keys[1])
  if old then
    if version < (number_of(old.version) or 0) then return { 'older' } end
    -- A tombstone is only the answer to "who is this?"; it may have been written before
    -- the link that is here now.
    if fields.state == 'absent' and old.state ~= 'absent' then return { 'older' } end
    local opened = number_of(fields.opened_ms)
    if old.opened_ms and (not opened or old.opened_ms < opened) then
      fields.opened_ms = decimal(old.opened_ms)
      fields.expires_ms = decimal(old.expires_ms or old.opened_ms + old.lifetime_ms)
    end
    if fields.state == 'active' then fields.paying, fields.paying_ms = old.paying, old.paying_ms end
  end
  fields.version = args[2]
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], unpack(flat(fields)))
  redis.call('PEXPIRE', keys[1], ttl_ms)
  link_tell(keys[1], args[1], args[2], fields.state)
  return { 'published' }
end

-- KEYS link; ARGV HH, version, TAG, text -> { kept | older }
-- What the link says in one more language. The version's end is also that of the text.
local function text(keys, args)
  local wrong = check(keys, 1, args, 4)
  if wrong then return wrong end
  local link = link_read(keys[1])
  if not link or link.version ~= args[2] then return { 'older' } end
  redis.call('HSET', keys[1], 'text:' .. args[3], args[4])
  link_tell(keys[1], args[1], link.version, link.state)
  return { 'kept' }
end

-- Whoever looks at the link may pay again.
local function link_rest(key, id, attempt)
  local v = redis.call('HMGET', key, 'paying', 'version', 'state')
  if v[1] ~= attempt then return end
  redis.call('HDEL', key, 'paying', 'paying_ms')
  link_tell(key, id, v[2], v[3])
end

-- KEYS attempt, link, guard; ARGV AA, HH, state, ttl_ms, field, value, … -> { answered | kept }
-- What the submission wrote stays; fields of an earlier answer that no longer hold go.
local function answer(keys, args)
  local wrong = check(keys, 3, args, 4)
  if wrong then return wrong end
  local state, ttl_ms = args[3], number_of(args[4])
  local fields = pairs_read(args, 5)
  if not fields or not ttl_ms or not ATTEMPT_RANK[state] then
    return redis.error_reply('ERR paylink: answer needs a known state, a ttl and pairs')
  end
  local known = redis.call('HMGET', keys[1], 'state')[1]
  if known and ATTEMPT_RANK[state] < (ATTEMPT_RANK[known] or 0) then return { 'kept' } end
  fields.state, fields.link = state, args[2]
  redis.call('HDEL', keys[1], 'reason', 'action_url')
  redis.call('HSET', keys[1], unpack(flat(fields)))
  redis.call('PEXPIRE', keys[1], ttl_ms)
  redis.call('PUBLISH', events_channel(keys[1]), 'attempt ' .. args[1] .. ' ' .. state)
  if ATTEMPT_RANK[state] >= ATTEMPT_RANK.declined or state == 'absent' then
    link_rest(keys[2], args[2], args[1])
    guard_answer(keys[3], args[1], state, fields)
  end
  return { 'answered' }
end

-- KEYS brand or document; ARGV kind (brand | document), HH, type, body, ttl_ms -> { kept }
-- Both are named by what they are: whoever publishes twice writes the same.
local function keep(keys, args)
  local wrong = check(keys, 1, args, 5)
  if wrong then return wrong end
  redis.call('HSET', keys[1], 'type', args[3], 'body', args[4])
  redis.call('PEXPIRE', keys[1], args[5])
  redis.call('PUBLISH', events_channel(keys[1]), args[1] .. ' ' .. args[2] .. ' ' .. args[3])
  return { 'kept' }
end

redis.register_function('paylink_open', open)
redis.register_function{ function_name = 'paylink_check', callback = check_submit, flags = { 'no-writes' } }
redis.register_function('paylink_submit', submit)
redis.register_function('paylink_velocity', velocity)
redis.register_function('paylink_renew', renew)
redis.register_function('paylink_want', want)
redis.register_function('paylink_publish', publish)
redis.register_function('paylink_text', text)
redis.register_function('paylink_answer', answer)
redis.register_function('paylink_keep', keep)
