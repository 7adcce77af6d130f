-- The page of a link as a team would write it with nginx and lua: token checked, one HMGET over a pooled
-- cosocket, values escaped, a new attempt minted. Tuned: everything that can be is made once, at start.
local bit = require 'bit'
local cjson = require 'cjson'
local ffi = require 'ffi'

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t n,
                    unsigned char *out, unsigned int *out_len);
int RAND_bytes(unsigned char *buf, int num);
int CRYPTO_memcmp(const void *a, const void *b, size_t len);
]]
local crypto = ffi.load('libcrypto.so.3')
local sha256 = crypto.EVP_sha256()
local mac, mac_len, random = ffi.new('unsigned char[32]'), ffi.new('unsigned int[1]'), ffi.new('unsigned char[10]')

local file = assert(io.open(os.getenv('PEER_FILE')))
local peer = cjson.decode(file:read('*a'))
file:close()

local KEY = (peer.key:gsub('..', function(hex) return string.char(tonumber(hex, 16)) end))
local SHARDS = 16
local NAMES = {}
for i, name in ipairs(peer.fields) do NAMES[i] = '$' .. #name .. '\r\n' .. name .. '\r\n' end
local FIELDS = table.concat(NAMES)
local COUNT = #peer.fields
local HEAD = '*' .. COUNT + 2 .. '\r\n$5\r\nHMGET\r\n'

local ENTITIES = { ['&'] = '&amp;', ['<'] = '&lt;', ['>'] = '&gt;', ['"'] = '&quot;', ["'"] = '&#39;' }
local find, gsub, sub, byte, char, format = string.find, string.gsub, string.sub, string.byte, string.char, string.format

local function escape(value)
  if not find(value, '[&<>"\']') then return value end
  return (gsub(value, '[&<>"\']', ENTITIES))
end

local function tag(message)
  crypto.HMAC(sha256, KEY, #KEY, message, #message, mac, mac_len)
  return ffi.string(mac, 16)
end

local function base64url(bytes)
  return (gsub(ngx.encode_base64(bytes, true), '[+/]', { ['+'] = '-', ['/'] = '_' }))
end

-- The 17 bytes that name the link, or nil.
local function verify(token)
  if #token ~= 44 then return nil end
  local raw = ngx.decode_base64((gsub(token, '[-_]', { ['-'] = '+', ['_'] = '/' })))
  if not raw or #raw ~= 33 or base64url(raw) ~= token or byte(raw) ~= peer.kid then return nil end
  local named = sub(raw, 1, 17)
  if crypto.CRYPTO_memcmp(tag('paylink link v1' .. named), sub(raw, 18), 16) ~= 0 then return nil end
  return named
end

local function uuid7()
  crypto.RAND_bytes(random, 10)
  local ms = math.floor(ngx.now() * 1000)
  local high, low = math.floor(ms / 4294967296), ms % 4294967296
  return char(bit.band(bit.rshift(high, 8), 255), bit.band(high, 255), bit.band(bit.rshift(low, 24), 255), bit.band(bit.rshift(low, 16), 255),
    bit.band(bit.rshift(low, 8), 255), bit.band(low, 255), bit.bor(0x70, bit.band(random[0], 15)), random[1], bit.bor(0x80, bit.band(random[2], 63)))
    .. ffi.string(random + 3, 7)
end

local function attempt(named, version)
  local body = uuid7() .. char(bit.band(bit.rshift(version, 24), 255), bit.band(bit.rshift(version, 16), 255), bit.band(bit.rshift(version, 8), 255), bit.band(version, 255))
  return base64url(body .. tag('paylink attempt v1' .. named .. body))
end

local function hex(bytes)
  return (gsub(bytes, '.', function(c) return format('%02x', byte(c)) end))
end

local function connect()
  local sock = ngx.socket.tcp()
  assert(sock:connect('unix:' .. peer.redis))
  return sock
end

-- A reply of bulk strings, the only kind that is asked for.
local function read(sock)
  local line = assert(sock:receive())
  local values = {}
  for i = 1, tonumber(sub(line, 2)) do
    local size = tonumber(sub(assert(sock:receive()), 2))
    if size >= 0 then values[i] = sub(assert(sock:receive(size + 2)), 1, -3) end
  end
  return values
end

local function refuse(status)
  ngx.status = status
  ngx.print('no')
  return ngx.exit(ngx.OK)
end

local M = {}

function M.page()
  local named = verify(sub(ngx.var.uri, 4))
  if not named then return refuse(404) end
  local id = hex(sub(named, 2))
  local key = format('paylink:{%02x}:bench:%s', byte(named, 2) % SHARDS, id)
  local sock = connect()
  assert(sock:send { HEAD, '$', #key, '\r\n', key, '\r\n', FIELDS })
  local values = read(sock)
  sock:setkeepalive(60000, 64)
  local minted = attempt(named, tonumber(values[peer.version]))
  local out = {}
  for i, part in ipairs(peer.parts) do
    if type(part) == 'string' then
      out[i] = part
    elseif part.field then
      out[i] = escape(values[part.field])
    else
      out[i] = part.attempt and minted or sub(ngx.var.uri, 4)
    end
  end
  local headers = ngx.header
  for name, value in pairs(peer.headers) do headers[name] = value end
  local body = table.concat(out)
  headers['Content-Length'] = #body
  ngx.print(body)
end

function M.pay()
  local named = verify(sub(ngx.var.uri, 4, -5))
  if not named then return refuse(404) end
  ngx.req.read_body()
  local form = ngx.req.get_post_args(20)
  local raw = ngx.decode_base64((gsub(form.attempt or '', '[-_]', { ['-'] = '+', ['_'] = '/' })))
  if not raw or #raw ~= 36 or crypto.CRYPTO_memcmp(tag('paylink attempt v1' .. named .. sub(raw, 1, 20)), sub(raw, 21), 16) ~= 0 then
    return refuse(400)
  end
  local id, uuid = hex(sub(named, 2)), hex(sub(raw, 1, 16))
  local at = format('paylink:{%02x}:', byte(named, 2) % SHARDS)
  local args = { 'FCALL', 'paylink_submit', '5', at .. 'link:' .. id, at .. 'attempt:' .. uuid, at .. 'guard:' .. id,
    at .. 'submit', at .. 'open', id, uuid, form.version, form.amount_minor, form.payment_method, '', '0', '0', '', '' }
  local command = { '*' .. #args .. '\r\n' }
  for i, arg in ipairs(args) do command[i + 1] = '$' .. #arg .. '\r\n' .. arg .. '\r\n' end
  local sock = connect()
  assert(sock:send(command))
  local status = read(sock)[1]
  sock:setkeepalive(60000, 64)
  if status ~= 'accepted' and status ~= 'duplicate' then return refuse(409) end
  ngx.header['Location'] = sub(ngx.var.uri, 1, -5) .. '/a/' .. form.attempt
  for name, value in pairs(peer.headers) do ngx.header[name] = value end
  ngx.status = 303
  return ngx.exit(303)
end

return M
