// A page state as a test: a picture of it in tests/artifacts/screenshots/, no finding of axe-core and
// html-validate, nothing that scrolls sideways, in light and dark, on a phone and on a desk, in English and in Arabic.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after as afterAll, test } from 'node:test';
import { DESKTOP, PHONE, Visitor } from '../harness/browser.mjs';
import { ROOT } from '../harness/index.mjs';
import { accessibility, markup, overflow } from '../harness/judge.mjs';
import { house } from './scenes.mjs';

const PICTURES = path.join(ROOT, 'tests/artifacts/screenshots');
// axe-core looks at the first two: both schemes and both layouts are in them. Pages that differ from another in
// their words alone are shown in these two only.
const VIEWS = [['phone', 'light', PHONE], ['desktop', 'dark', DESKTOP], ['phone', 'dark', PHONE], ['desktop', 'light', DESKTOP]];
export const JUDGED = 2;

// A folder that the edge may look into. While the file `closed` is there, the edge is in maintenance.
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paylink-pages-'));
fs.chmodSync(folder, 0o755);
afterAll(() => fs.rmSync(folder, { recursive: true }));
export const closed = path.join(folder, 'closed');

// The stack of the file that imports this. The guard has the smallest limits for whoever says that he comes from elsewhere.
export const it = house({
  shim: true,
  nginx: ['paylink_result_wait 300ms;', `paylink_maintenance ${closed};`, 'paylink_guard cards=1 rate=1/h delay=off except=127.0.0.0/8;',
    'set_real_ip_from 127.0.0.0/8;', 'real_ip_header X-Forwarded-For;'],
  set: { 'mail.url': 'smtp://127.0.0.1:9', 'mail.from': 'pay@pay.example' },
});

// The whole page in view: a browser does not paint frames that nobody sees.
export async function picture(page, viewport, name) {
  fs.mkdirSync(PICTURES, { recursive: true });
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width: viewport.width, height: Math.max(viewport.height, height) });
  await page.screenshot({ path: path.join(PICTURES, `${name}.png`), fullPage: true, animations: 'disabled' });
}

async function judge(payer, name, scripted, views) {
  for (const [index, [size, colorScheme, viewport]] of VIEWS.slice(0, views).entries()) {
    for (const page of new Set([payer.page, scripted.page])) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
    }
    const findings = [...index < JUDGED ? await accessibility(scripted.page) : [], ...await overflow(payer.page)];
    await picture(payer.page, viewport, `${name}.${size}.${colorScheme}`);
    assert.deepEqual(findings, [], `${name}, ${size}, ${colorScheme}`);
  }
}

// One window for all pages of a kind: a new one for each costs more than all that is done in it.
const windows = new Map();
export async function windowOf(context) {
  const kind = JSON.stringify(context);
  if (!windows.has(kind)) windows.set(kind, await Visitor.start(it.browser, it.stack, context));
  const payer = windows.get(kind);
  await payer.page.goto('about:blank');
  await payer.page.emulateMedia({ colorScheme: 'light' });
  await payer.page.setViewportSize(DESKTOP);
  return payer;
}

// axe-core is a script: a page without any is judged as a copy of what such a browser builds of it.
async function scriptedCopy(payer, response) {
  const copy = await windowOf({});
  const body = (await response.text()).replace(/<\/?noscript>/g, '').replace(/<script\b[^>]*><\/script>/g, '');
  await copy.page.route(response.url(), (route) => route.fulfill({ status: 200, headers: response.headers(), body }));
  await copy.page.goto(response.url());
  await copy.page.unroute(response.url());
  return copy;
}

// A test of one page: `show` leads there in a window of that context and gives the response that it came with;
// `undo` ends what keeps the page as it is.
export function page(name, about, show) {
  inLanguage(name, about, show);
  if (!about.context?.locale) {
    inLanguage(`${name}.ar`, { ...about, heading: /[\u0600-\u06ff]/, dir: 'rtl', views: JUDGED, context: { ...about.context, locale: 'ar' } }, show);
  }
}

function inLanguage(name, { state, status = 200, heading, dir, reports = [], views = VIEWS.length, context = {}, undo = () => {} }, show) {
  test(`page ${name}`, async () => {
    const payer = await windowOf(context);
    try {
      await examine(payer);
    } catch (error) {
      throw await payer.seen(error);
    } finally {
      await undo(it.stack);
    }
  });
  async function examine(payer) {
    const response = await show(payer, it.stack);
    await payer.frameReady();
    assert.equal(response.status(), status);
    if (state) assert.equal(await payer.state(), state);
    assert.match(await payer.heading(), heading);
    assert.equal(await payer.page.getAttribute('html', 'dir'), dir ?? null);
    assert.deepEqual(await markup(await response.text(), { gateway: new URL(response.url()).origin !== payer.watch.own }), []);
    const scripted = context.javaScriptEnabled === false ? await scriptedCopy(payer, response) : payer;
    await judge(payer, name, scripted, views);
    payer.watch.accept(reports);
    assert.deepEqual([...payer.watch.take(), ...scripted.watch.take()], []);
  }
}

// The response of the page that an act leads to.
export async function after(payer, act, url = () => true) {
  const [response] = await Promise.all([
    payer.page.waitForResponse((answered) => answered.request().isNavigationRequest()
      && answered.frame() === payer.page.mainFrame() && answered.status() !== 303 && url(answered.url())),
    act(),
  ]);
  await payer.page.waitForLoadState();
  return response;
}
