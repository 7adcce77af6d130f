// A payer with a real browser: Chromium, what a payer does in it, and a watch over everything that it says
// and asks for. Knows pages and frames; must not know Redis or the books.
import { chromium } from 'playwright-core';
import { cardNumbers } from './judge.mjs';

const EXECUTABLE = '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];
const ACT_TIMEOUT_MS = 30_000;

export const CARD = {
  good: '4242424242424242',
  declined: '4000000000000002',
  noFunds: '4000000000009995',
  expired: '4000000000000069',
  wrongCode: '4000000000000127',
  confirm: '4000002760003184',
};

export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1280, height: 900 };

export function launchBrowser() {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

// Keeps what a browser says and asks for; report() lists what it should not have, [] when clean.
export class Watch {
  #findings = [];
  #answers = new Set();
  #loads = [];
  requests = [];

  constructor(context, stack) {
    this.own = new URL(stack.url).origin;
    this.gateway = new URL(stack.info.sandbox_url).origin;
    context.on('request', (request) => this.#request(request));
    context.on('response', (response) => this.#response(response));
    context.on('console', (message) => this.#console(message));
    context.on('weberror', (error) => this.#findings.push(`script: ${error.error().message}`));
  }

  #request(request) {
    const { origin } = new URL(request.url());
    const sent = [request.url(), ...Object.values(request.headers()), request.postData() ?? ''].join('\n');
    this.requests.push({ method: request.method(), url: request.url(), body: request.postData() ?? '', own: origin === this.own });
    if (origin === this.own) {
      const cards = cardNumbers(sent);
      if (cards.length) this.#findings.push(`card data for the edge: ${request.method()} ${request.url()}: ${cards}`);
    } else if (origin !== this.gateway) {
      this.#findings.push(`foreign origin: ${request.method()} ${request.url()}`);
    }
  }

  // A page that is itself the answer may have any status; whatever a page loads has to be there.
  #response(response) {
    const request = response.request();
    if (response.status() < 400) return;
    if (request.isNavigationRequest() && request.frame().parentFrame() === null) {
      this.#answers.add(`${response.status()} ${response.url()}`);
    } else {
      this.#loads.push(`${response.status()} ${response.url()}`);
    }
  }

  #console(message) {
    if (!['error', 'warning'].includes(message.type())) return;
    // Said of pages without scripts, and of slow machines.
    if (/was preloaded using link preload but not used/.test(message.text())) return;
    const status = /^Failed to load resource: the server responded with a status of (\d+)/.exec(message.text())?.[1];
    if (status) this.#loads.push(`${status} ${message.location().url}`);
    else this.#findings.push(`console: ${message.text()}`);
  }

  // `status url`, where this test makes that happen on purpose.
  expect(status, url) {
    this.#answers.add(`${status} ${url}`);
  }

  // Findings that a test causes on purpose: each pattern must be among them, and is forgotten.
  accept(patterns) {
    for (const pattern of patterns) {
      const rest = this.#findings.filter((finding) => !pattern.test(finding));
      if (rest.length === this.#findings.length) this.#findings.push(`missing: ${pattern}`);
      else this.#findings = rest;
    }
  }

  // What report() lists, for the last time.
  take() {
    const found = this.report();
    this.#findings = [];
    this.#loads = [];
    return found;
  }

  report() {
    return [...this.#findings, ...this.#loads.filter((load) => !this.#answers.has(load)).map((load) => `did not load: ${load}`)];
  }

  // Requests of ours whose method and path match, e.g. count('POST', /\/pay$/).
  count(method, path) {
    return this.requests.filter((request) => request.own && request.method === method && path.test(new URL(request.url).pathname)).length;
  }
}

// One payer's browser: { context, page, watch } and what the payer does.
export class Visitor {
  static async start(browser, stack, options = {}) {
    const visitor = new Visitor();
    visitor.language = options.locale;
    visitor.context = await browser.newContext({ viewport: DESKTOP, locale: 'en-US', timezoneId: 'Europe/Berlin', ...options });
    visitor.context.setDefaultTimeout(ACT_TIMEOUT_MS);
    visitor.watch = new Watch(visitor.context, stack);
    visitor.page = await visitor.context.newPage();
    return visitor;
  }

  // Shows the link; with JavaScript, waits for the card form if there is one.
  async open(url) {
    const response = await this.page.goto(url);
    await this.frameReady();
    return response;
  }

  async frameReady() {
    if (await this.page.locator('#card').count() && await this.page.locator('#pay').isVisible()) {
      await this.page.locator('#card.ready').waitFor();
    }
  }

  // From now on no page of this browser hears news of its link: it gets old, as one that has lost its edge.
  deaf() {
    // Not by routing its requests: with that, Chromium forgets the language of the others.
    return this.context.addInitScript(() => { globalThis.EventSource = class extends EventTarget {}; });
  }

  field(name) {
    return this.page.frameLocator('iframe[name=paylink-card]').locator(`#${name}`);
  }

  // Types the card into the gateway's frame, as fingers do.
  async typeCard(number = CARD.good, { expiry = '1240', code = '123' } = {}) {
    for (const [name, text] of [['number', number], ['expiry', expiry], ['cvc', code]]) {
      await this.field(name).fill('');
      await this.field(name).pressSequentially(text);
    }
  }

  // Presses Pay and waits for nothing: the page of the attempt comes when there is a result.
  push() {
    return this.page.locator('#button').click({ noWaitAfter: true });
  }

  // Presses Pay and follows to the page of the attempt.
  async press() {
    await this.page.locator('#button').click();
    await this.page.waitForURL('**/a/*', { waitUntil: 'commit' });
  }

  // Waits until the page says this of itself, by whatever way it renews itself.
  async shows(state) {
    await this.page.locator(`main[data-state=${state}]`).waitFor();
  }

  state() {
    return this.page.locator('main').getAttribute('data-state');
  }

  heading() {
    return this.page.locator('h1').innerText();
  }

  text() {
    return this.page.locator('main').innerText();
  }

  toHostedCard() {
    return this.page.locator('noscript a.button, a[href*="/hosted?"].button').first().click();
  }

  // Without JavaScript: to the gateway's own page and back with a card.
  async hostedCard(number = CARD.good) {
    await this.toHostedCard();
    await this.page.locator('#number').fill(number);
    await this.page.locator('#exp_month').fill('12');
    await this.page.locator('#exp_year').fill('2040');
    await this.page.locator('#cvc').fill('123');
    await this.page.locator('form button[type=submit]').click();
    await this.page.waitForURL('**/p/*payment_method=pm_*');
  }

  // The error with what the payer saw when it happened.
  async seen(error) {
    const shown = await this.page.locator('body').innerText({ timeout: 1_000 }).catch((reason) => String(reason));
    return new Error(`${error.message}\non ${this.page.url()}:\n${shown.slice(0, 600)}\n${this.watch.report().join('\n')}`, { cause: error });
  }

  close() {
    return this.context.close();
  }
}
