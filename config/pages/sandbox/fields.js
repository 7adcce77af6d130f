/*
 * The card fields in the gateway's frame: helps typing, checks, makes a token, tells the page around it.
 * What is typed goes to this origin only; the page around it gets a token, and only if its origin is
 * the one that the frame was made for.
 */
(function () {
  'use strict';

  const NUMBER_DIGITS_MAX = 19;
  const REPLY_WAIT_MS = 25000;
  const BRANDS = [
    ['Visa', /^4/],
    ['Mastercard', /^(5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/],
    ['American Express', /^3[47]/],
    ['Discover', /^(6011|65|64[4-9])/],
    ['Diners Club', /^3(0[0-5]|[689])/],
    ['JCB', /^35(2[89]|[3-8])/],
    ['UnionPay', /^62/]
  ];

  const form = document.getElementById('card');
  const number = document.getElementById('number');
  const expiry = document.getElementById('expiry');
  const cvc = document.getElementById('cvc');
  const brand = document.getElementById('brand');
  const fields = { number, expiry, cvc };
  const says = form.dataset;
  const origin = says.origin;
  let busy = false;

  function tell(message) {
    parent.postMessage(message, origin);
  }

  function tellHeight() {
    tell({ type: 'paylink.height', height: Math.ceil(document.body.getBoundingClientRect().height) });
  }

  function digits(text) {
    return text.replace(/\D/g, '');
  }

  function brandOf(number) {
    const found = BRANDS.find(([, pattern]) => pattern.test(number));
    return found ? found[0] : '';
  }

  function grouped(number) {
    const amex = brandOf(number) === 'American Express';
    return amex
      ? [number.slice(0, 4), number.slice(4, 10), number.slice(10)].filter(Boolean).join(' ')
      : (number.match(/.{1,4}/g) || []).join(' ');
  }

  function luhn(number) {
    let sum = 0;
    for (let i = 0; i < number.length; i += 1) {
      let d = Number(number[number.length - 1 - i]);
      if (i % 2 === 1) d = d * 2 > 9 ? d * 2 - 9 : d * 2;
      sum += d;
    }
    return sum % 10 === 0;
  }

  /* Sets the text and keeps the caret behind the digit that it stood behind. */
  function rewrite(input, text) {
    const before = digits(input.value.slice(0, input.selectionStart)).length;
    const atEnd = input.selectionStart === input.value.length;
    if (input.value === text) return;
    input.value = text;
    if (document.activeElement !== input) return;
    let at = 0;
    for (let seen = 0; at < text.length && seen < before; at += 1) {
      if (/\d/.test(text[at])) seen += 1;
    }
    if (atEnd) at = text.length;
    input.setSelectionRange(at, at);
  }

  function onNumber() {
    const plain = digits(number.value).slice(0, NUMBER_DIGITS_MAX);
    rewrite(number, grouped(plain));
    brand.textContent = brandOf(plain);
    cvc.maxLength = brandOf(plain) === 'American Express' ? 4 : brandOf(plain) ? 3 : 4;
  }

  /* "MM / YY"; a filled-in "MM/YYYY" or "M/YY" is understood. */
  function onExpiry(event) {
    let text = expiry.value;
    const deleting = event && typeof event.inputType === 'string' && event.inputType.startsWith('delete');
    const parts = text.match(/^\s*(\d{1,2})\s*[/.-]\s*(?:20)?(\d{0,2})\d*\s*$/);
    if (parts && (parts[1].length === 2 || !deleting)) {
      text = parts[1].padStart(2, '0') + parts[2];
    } else {
      text = digits(text);
      if (/^[2-9]/.test(text)) text = '0' + text;
      if (/^\d\d20\d\d/.test(text)) text = text.slice(0, 2) + text.slice(4);
    }
    text = text.slice(0, 4);
    if (text.length > 2 || (text.length === 2 && !deleting)) text = text.slice(0, 2) + ' / ' + text.slice(2);
    rewrite(expiry, text);
  }

  function expiryParts() {
    const text = digits(expiry.value);
    return { month: Number(text.slice(0, 2)), year: 2000 + Number(text.slice(2, 4)), complete: text.length === 4 };
  }

  const checks = {
    number() {
      const plain = digits(number.value);
      if (plain === '') return says.numberMissing;
      if (plain.length < 12) return says.numberShort;
      return luhn(plain) ? '' : says.numberWrong;
    },
    expiry() {
      const at = expiryParts();
      const now = new Date();
      if (expiry.value === '') return says.expiryMissing;
      if (!at.complete || at.month < 1 || at.month > 12) return says.expiryWrong;
      const months = at.year * 12 + at.month - (now.getFullYear() * 12 + now.getMonth() + 1);
      return months < 0 ? says.expiryPast : '';
    },
    cvc() {
      const length = brandOf(digits(number.value)) === 'American Express' ? 4 : 3;
      if (cvc.value === '') return says.cvcMissing;
      return cvc.value.length === length || (length === 3 && brand.textContent === '' && cvc.value.length === 4)
        ? '' : length === 4 ? says.cvcFour : says.cvcThree;
    }
  };

  function mark(name, message) {
    fields[name].setAttribute('aria-invalid', String(message !== ''));
    document.getElementById(name + '-error').textContent = message;
    tellHeight();
  }

  function refuse(message, name) {
    busy = false;
    if (name) {
      mark(name, message);
      fields[name].focus();
    }
    tell({ type: 'paylink.error', message, field: name || '' });
  }

  function fieldOf(param) {
    if (/exp/.test(param)) return 'expiry';
    if (/cvc/.test(param)) return 'cvc';
    return /number/.test(param) ? 'number' : '';
  }

  function onReply(reply, body) {
    if (reply.ok && body && typeof body.id === 'string') {
      busy = false;
      const card = body.card || {};
      tell({ type: 'paylink.token', payment_method: body.id, brand: card.brand || '', last4: card.last4 || '' });
      return;
    }
    const error = (body && body.error) || {};
    const field = fieldOf(error.param || '');
    const message = error.decline_code === 'test_mode_live_card' ? says.numberLive : says[field + 'Wrong'];
    refuse(message || says.unread, field);
  }

  function tokenize() {
    if (busy) return;
    const wrong = Object.keys(fields).map((name) => [name, checks[name]()]);
    wrong.forEach(([name, message]) => mark(name, message));
    const first = wrong.find(([, message]) => message !== '');
    if (first) {
      refuse(first[1], first[0]);
      return;
    }
    busy = true;
    const at = expiryParts();
    const body = new URLSearchParams({
      type: 'card',
      'card[number]': digits(number.value),
      'card[exp_month]': String(at.month),
      'card[exp_year]': String(at.year),
      'card[cvc]': cvc.value
    });
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), REPLY_WAIT_MS);
    fetch('/v1/payment_methods', {
      method: 'POST',
      headers: { Authorization: 'Bearer ' + says.account },
      body,
      cache: 'no-store',
      credentials: 'omit',
      signal: stop.signal
    })
      .then((reply) => reply.json().then((json) => onReply(reply, json)))
      .catch(() => refuse(says.noAnswer, ''))
      .finally(() => clearTimeout(timer));
  }

  number.addEventListener('input', onNumber);
  expiry.addEventListener('input', onExpiry);
  cvc.addEventListener('input', () => rewrite(cvc, digits(cvc.value).slice(0, 4)));
  Object.keys(fields).forEach((name) => {
    const input = fields[name];
    // An empty field that is left says nothing yet; a mark goes away as soon as the text is right.
    input.addEventListener('blur', () => { if (input.value !== '') mark(name, checks[name]()); });
    input.addEventListener('input', () => {
      if (input.getAttribute('aria-invalid') === 'true' && checks[name]() === '') mark(name, '');
    });
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    tell({ type: 'paylink.submit' });
  });
  // The page around cannot see what a human does in here. It learns that, not what.
  ['pointerdown', 'touchstart', 'wheel', 'keydown', 'click'].forEach((act) => {
    const listener = (event) => {
      if (!event.isTrusted) return;
      removeEventListener(act, listener, true);
      tell({ type: 'paylink.act' });
    };
    addEventListener(act, listener, { capture: true, passive: true });
  });
  addEventListener('message', (event) => {
    if (event.origin !== origin || event.source !== parent) return;
    if (event.data && event.data.type === 'paylink.tokenize') tokenize();
  });
  if (parent !== window && origin) {
    // The height first: nothing may move any more once Pay can be pressed.
    tellHeight();
    tell({ type: 'paylink.ready' });
    new ResizeObserver(tellHeight).observe(document.body);
  }
}());
