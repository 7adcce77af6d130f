// What operators watch: counters over all workers and reloads, probes, and an access log that machines read.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, startStack, together, Viewer, waitFor } from '../harness/index.mjs';

let stack;
before(async () => { stack = await startStack({ nginxWorkers: 2 }); });
after(() => stack.stop());

const workers = () => execFileSync('ps', ['-o', 'pid=', '--ppid', String(stack.info.pids.nginx)]).toString().trim().split(/\s+/).map(Number);

// The text format, strictly: one HELP and TYPE before the samples of a name, no sample twice, histograms cumulative.
function parse(text) {
  const types = new Map();
  const samples = new Map();
  let family;
  assert.ok(text.endsWith('\n'));
  for (const line of text.trimEnd().split('\n')) {
    const help = /^# HELP (\w+) \S.*$/.exec(line);
    const type = /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      assert.ok(!types.has(help[1]), `${help[1]} is described twice`);
      [, family] = help;
      types.set(family, null);
    } else if (type) {
      assert.equal(type[1], family);
      types.set(family, type[2]);
    } else {
      const [, name, labels = '', value] = /^(\w+)(\{(?:\w+="[^"\\]*",?)+\})? (\d+(?:\.\d+)?)$/.exec(line) ?? assert.fail(`no sample: ${line}`);
      assert.equal(types.get(family) === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name, family, line);
      assert.ok(!samples.has(name + labels), `twice: ${line}`);
      samples.set(name + labels, Number(value));
    }
  }
  assert.ok([...types.values()].every(Boolean));
  return samples;
}

async function metrics() {
  const answer = await stack.page('/metrics');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  return parse(answer.text);
}

// What act() adds to each sample, zeros left out.
async function added(act) {
  const before_ = await metrics();
  await act();
  const after_ = await metrics();
  return Object.fromEntries([...after_].map(([name, value]) => [name, value - before_.get(name)]).filter(([, value]) => value !== 0));
}

test('requests, pages, openings and submits are counted, whichever worker has served them', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  const payer = stack.payer(scene.link);
  const counts = await added(async () => {
    await together(20, () => stack.page(scene.link.url));
    await together(5, () => stack.page('/p/forged'));
    await stack.page('/healthz');
    await payer.open();
    assert.equal((await payer.settle()).state, 'captured');
  });
  assert.ok(counts['paylink_requests_total{route="page",status="2xx"}'] >= 20);
  assert.ok(counts['paylink_pages_total{page="pay"}'] >= 20);
  assert.equal(counts['paylink_requests_total{route="other",status="4xx"}'], 5);
  assert.equal(counts['paylink_pages_total{page="unknown"}'], 5);
  assert.equal(counts['paylink_requests_total{route="probe",status="2xx"}'], 1);
  assert.equal(counts['paylink_requests_total{route="open",status="2xx"}'], 1);
  assert.equal(counts['paylink_requests_total{route="pay",status="3xx"}'], 1);
  assert.equal(counts.paylink_opens_total, 1);
  assert.equal(counts['paylink_submits_total{outcome="accepted"}'], 1);
  assert.ok(counts.paylink_redis_seconds_count >= 3);
  assert.ok(counts['paylink_cache_total{result="miss"}'] + (counts['paylink_cache_total{result="hit"}'] ?? 0) >= 20);
});

test('the histogram is cumulative and ends with the count', async () => {
  const samples = await metrics();
  const buckets = [...samples].filter(([name]) => name.startsWith('paylink_redis_seconds_bucket')).map(([, value]) => value);
  assert.deepEqual(buckets, [...buckets].sort((a, b) => a - b));
  assert.equal(buckets.at(-1), samples.get('paylink_redis_seconds_count'));
  assert.ok(samples.get('paylink_redis_seconds_sum') > 0);
});

test('refused and stale submits have outcomes of their own', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  await stack.cli('invoice', 'change', scene.invoice.id, '--line', 'Oil:1:99');
  await waitFor(async () => (await stack.page(scene.link.url)).text.includes('$0.99'), { what: 'the new total' });
  const counts = await added(() => payer.submit({ payment_method: 'pm_card_visa' }));
  assert.equal(counts['paylink_submits_total{outcome="stale"}'], 1);
});

test('viewers are a gauge, which falls when they leave and when a worker is killed', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  const viewers = await together(6, () => Viewer.open(`${scene.link.url}/events`));
  const watching = async () => (await metrics()).get('paylink_live_viewers');
  assert.equal(await watching(), 6);
  viewers.pop().close();
  await waitFor(async () => await watching() === 5, { what: 'one viewer less' });
  for (const pid of workers()) process.kill(pid, 'SIGKILL');
  await waitFor(async () => await watching() === 0, { what: 'the gauges of the new workers' });
  for (const viewer of viewers) viewer.close();
});

test('what waits for the worker is counted by stream', async () => {
  const scene = await stack.scene();
  const payer = stack.payer(scene.link);
  await payer.view();
  const depth = async (stream) => (await metrics()).get(`paylink_stream_entries{stream="${stream}"}`);
  await waitFor(async () => await depth('submit') === 0, { what: 'the empty stream' });
  await stack.stopService('worker');
  await payer.open();
  const submit = await payer.pay({ view: false });
  assert.equal(submit.status, 303);
  await waitFor(async () => await depth('submit') === 1 && await depth('open') === 1, { what: 'what waits' });
  assert.deepEqual([await depth('want'), await depth('renew'), await depth('dead')], [0, 0, 0]);
  await stack.startService('worker');
  assert.equal((await payer.result(submit)).state, 'captured');
  await waitFor(async () => await depth('submit') === 0 && await depth('open') === 0, { what: 'the drained streams' });
});

test('the counters go on over a reload', async () => {
  const before_ = await metrics();
  const old = workers();
  stack.signal('nginx', 'SIGHUP');
  await waitFor(() => workers().every((pid) => !old.includes(pid)), { what: 'new workers' });
  // A connection that is kept may belong to an old worker, which has just closed it.
  const after_ = await waitFor(metrics, { what: 'the metrics from a new worker' });
  for (const [name, value] of before_) {
    if (/_total|_count/.test(name)) assert.ok(after_.get(name) >= value, name);
  }
});

test('ready only with Redis; alive without', async () => {
  assert.deepEqual([(await stack.page('/readyz')).status, (await stack.page('/readyz')).text], [200, 'ready\n']);
  await stack.stopService('redis');
  const refused = await waitFor(async () => {
    const answer = await stack.page('/readyz');
    return answer.status === 503 && answer;
  }, { what: 'the edge to notice' });
  assert.equal(refused.text, 'not ready: redis down\n');
  assert.ok(refused.headers['retry-after']);
  assert.equal((await stack.page('/healthz')).status, 200);
  await stack.startService('redis');
  await waitFor(async () => (await stack.page('/readyz')).status === 200, { what: 'the edge to be ready again' });
});

test('every line of the access log is JSON that names route and link, and holds no token', async () => {
  const scene = await stack.scene();
  await waitFor(async () => (await stack.page(scene.link.url)).status === 200, { what: 'the page' });
  await stack.page(`/p/${'"'.repeat(3)}\\`);
  const lines = await waitFor(() => {
    const text = fs.readFileSync(path.join(stack.dir, 'log/access.log'), 'utf8');
    return text.includes('"route":"other"') && text.trimEnd().split('\n');
  }, { what: 'the log' });
  const entries = lines.map((line) => JSON.parse(line));
  for (const entry of entries) {
    assert.deepEqual(Object.keys(entry), ['time', 'client', 'method', 'route', 'link', 'status', 'bytes', 'seconds', 'redis']);
    assert.ok(!Number.isNaN(Date.parse(entry.time)));
  }
  const page = entries.findLast((entry) => entry.route === 'page' && entry.status === 200);
  assert.match(page.link, /^[0-9a-f]{16}$/);
  assert.ok(Number(page.redis) > 0);
  assert.ok(!lines.join('').includes(new URL(scene.link.url).pathname.slice(3)));
});

test('the dashboard asks for metrics that exist, and shows all of them', async () => {
  const dashboard = JSON.parse(fs.readFileSync(path.join(ROOT, 'config/grafana/paylink.json'), 'utf8'));
  const asked = new Set(dashboard.panels.flatMap((panel) => panel.targets).flatMap(({ expr }) => expr.match(/paylink_\w+/g)));
  const there = [...(await metrics()).keys()].map((name) => name.replace(/\{.*/, ''));
  for (const name of asked) assert.ok(there.includes(name), name);
  for (const name of new Set(there)) assert.ok(asked.has(name) || /_(sum|count)$/.test(name), `${name} is on no panel`);
});
