// A payer without JavaScript: reads the page, gives the card to the gateway, posts the form, follows the
// redirect and reads the result. Never sends card data to the edge.
import { attributes, get, parseForm, postForm, request } from './http.mjs';
import { waitFor } from './wait.mjs';

// States of the result page in which it is not yet decided; `busy` says nothing at all.
const WAITING = ['received', 'charging', 'unknown', 'busy'];

export class Payer {
  constructor(stack, link, language) {
    this.stack = stack;
    this.headers = language ? { 'accept-language': language } : {};
    this.url = typeof link === 'string' ? link : link.url;
  }

  // The page as it is now; remembers its form.
  async view() {
    const page = await get(this.url);
    this.form = parseForm(page.text);
    this.account = /account=(pk_[A-Za-z0-9_]+)/.exec(page.text)?.[1];
    return page;
  }

  // The first human act.
  open() {
    return request('POST', `${this.url}/open`, { headers: { 'content-length': 0 } });
  }

  // A payment method for a card number, as the gateway's hosted fields make it.
  async token(number = '4242424242424242', { expMonth = 12, expYear = 2040, cvc = '123' } = {}) {
    const reply = await this.stack.sandbox.api('POST', '/v1/payment_methods', {
      type: 'card', 'card[number]': number, 'card[exp_month]': expMonth, 'card[exp_year]': expYear, 'card[cvc]': cvc,
    }, { key: this.account });
    if (reply.status !== 200) throw new Error(`no payment method: ${reply.status} ${reply.text}`);
    return reply.json().id;
  }

  // Posts the remembered form with `changes` over it; -> the response (303 with a location when taken).
  submit(changes = {}, options) {
    if (!this.form) throw new Error('there is no pay form on the page that was viewed last');
    return postForm(new URL(this.form.action, this.url).href, { ...this.form.fields, ...changes }, { headers: this.headers, ...options });
  }

  // Views, gives the card, submits; -> the response of the submit.
  async pay({ number, paymentMethod, view = true } = {}) {
    if (view || !this.form) {
      const page = await this.view();
      if (!this.form) throw new Error(`nothing to pay on this page: ${page.status}`);
    }
    return this.submit({ payment_method: paymentMethod ?? await this.token(number) });
  }

  // The result page behind the redirect of a submit, once it is decided.
  async result(response, { timeout = 20_000 } = {}) {
    if (response.status !== 303) throw new Error(`the submit was not taken: ${response.status} ${response.text.slice(0, 300)}`);
    const where = new URL(response.headers.location, this.url).href;
    return waitFor(async () => {
      const page = await get(where);
      page.state = resultState(page.text);
      return page.state && !WAITING.includes(page.state) && page;
    }, { timeout, interval: 50, what: 'the result of a payment' });
  }

  // pay() and result() in one: -> the decided page with its `state`.
  async settle(options) {
    return this.result(await this.pay(options));
  }
}

// The state that a page says of itself: <body data-state="…">.
export function resultState(html) {
  const tag = /<(?:body|main|html)\b[^>]*\bdata-state=[^>]*>/i.exec(html);
  return tag ? attributes(tag[0])['data-state'] : undefined;
}
