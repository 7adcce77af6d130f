// The page of a link as a team would write it with Node, Fastify and ioredis: token checked, one HMGET, values
// escaped, a new attempt minted.
import { createHmac, randomFillSync, timingSafeEqual } from 'node:crypto';
import fs from 'node:fs';
import Fastify from 'fastify';
import Redis from 'ioredis';

const peer = JSON.parse(fs.readFileSync(process.env.PEER_FILE, 'utf8'));
const key = Buffer.from(peer.key, 'hex');
const redis = new Redis({ path: peer.redis, enableAutoPipelining: true });
const app = Fastify({ logger: false, exposeHeadRoutes: false });

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (value) => (/[&<>"']/.test(value) ? value.replace(/[&<>"']/g, (char) => ENTITIES[char]) : value);
const tag = (label, ...parts) => {
  const hmac = createHmac('sha256', key).update(label);
  for (const part of parts) hmac.update(part);
  return hmac.digest().subarray(0, 16);
};
const shard = (id) => `paylink:{${(id[0] % 16).toString(16).padStart(2, '0')}}`;

function verify(token) {
  const raw = Buffer.from(token, 'base64url');
  if (token.length !== 44 || raw.length !== 33 || raw[0] !== peer.kid || raw.toString('base64url') !== token) return null;
  const named = raw.subarray(0, 17);
  return timingSafeEqual(tag('paylink link v1', named), raw.subarray(17)) ? named : null;
}

function attempt(named, version) {
  const body = Buffer.allocUnsafe(20);
  randomFillSync(body, 6, 10);
  body.writeUIntBE(Date.now(), 0, 6);
  body[6] = 0x70 | (body[6] & 15);
  body[8] = 0x80 | (body[8] & 63);
  body.writeUInt32BE(version, 16);
  return Buffer.concat([body, tag('paylink attempt v1', named, body)]).toString('base64url');
}

app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 8192 },
  (request, body, done) => done(null, new URLSearchParams(body)));

app.get('/p/:token', async (request, reply) => {
  const { token } = request.params;
  const named = verify(token);
  if (!named) return reply.code(404).send('no');
  const id = named.subarray(1);
  const values = await redis.hmget(`${shard(id)}:bench:${id.toString('hex')}`, ...peer.fields);
  const minted = attempt(named, Number(values[peer.version - 1]));
  let page = '';
  for (const part of peer.parts) {
    if (typeof part === 'string') page += part;
    else if (part.field) page += escape(values[part.field - 1]);
    else page += part.attempt ? minted : token;
  }
  return reply.headers(peer.headers).send(page);
});

app.post('/p/:token/pay', async (request, reply) => {
  const { token } = request.params;
  const named = verify(token);
  if (!named) return reply.code(404).send('no');
  const form = request.body;
  const raw = Buffer.from(form.get('attempt') ?? '', 'base64url');
  if (raw.length !== 36 || !timingSafeEqual(tag('paylink attempt v1', named, raw.subarray(0, 20)), raw.subarray(20))) {
    return reply.code(400).send('no');
  }
  const id = named.subarray(1);
  const hex = id.toString('hex');
  const uuid = raw.subarray(0, 16).toString('hex');
  const at = shard(id);
  const [status] = await redis.call('FCALL', 'paylink_submit', 5, `${at}:link:${hex}`, `${at}:attempt:${uuid}`, `${at}:guard:${hex}`,
    `${at}:submit`, `${at}:open`, hex, uuid, form.get('version'), form.get('amount_minor'), form.get('payment_method'), '', 0, 0, '', '');
  if (status !== 'accepted' && status !== 'duplicate') return reply.code(409).send('no');
  return reply.headers(peer.headers).code(303).header('location', `/p/${token}/a/${form.get('attempt')}`).send();
});

await app.listen({ host: '127.0.0.1', port: Number(process.env.PEER_PORT) });
