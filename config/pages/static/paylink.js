/*
 * The payer's page in the browser: the gateway's card form in its frame, one press of Pay, the signal
 * that a human opened the link, and the wait for the result.
 * Must not see card data: the frame is the gateway's own page, and all that it hands over is a token.
 */
(function () {
  'use strict';

  const READY_WAIT_MS = 12000;
  const TOKEN_WAIT_MS = 30000;
  const POST_WAIT_MS = 30000;
  const OPEN_TRIES_MAX = 5;
  const CHECK_FIRST_MS = 2000;
  const CHECK_PAUSE_MS_MAX = 30000;
  const FRAME_HEIGHT_MIN = 80;
  const FRAME_HEIGHT_MAX = 2000;
  const MESSAGE_CHARS_MAX = 300;
  const LIVE_PAUSE_MS = 30000;
  const LOAD_PAUSE_MS = 1000;

  const IDLE = 0;
  const TOKENIZING = 1;
  const POSTING = 2;

  /*
   * The link's 24 hours start with a human. A scroll event is no proof of one: scripts that take
   * pictures of pages cause trusted ones. Wheel, touch, pointer and keys come before any human's scroll.
   * Focus is none either. A screen reader's activation is a trusted click and nothing else. What a human
   * does inside the frame is seen there only: the frame tells.
   */
  function watchOpening(url) {
    const acts = ['pointerdown', 'touchstart', 'wheel', 'keydown', 'click'];
    const options = { capture: true, passive: true };
    let tries = 0;
    let idle = true;

    function report() {
      if (!idle) return;
      idle = false;
      tries += 1;
      fetch(url, { method: 'POST', mode: 'same-origin', keepalive: true, cache: 'no-store' })
        .then((reply) => reply.status < 500)
        .catch(() => false)
        .then((done) => {
          if (done || tries >= OPEN_TRIES_MAX) acts.forEach((act) => removeEventListener(act, onAct, options));
          else idle = true;
        });
    }

    function onAct(event) {
      if (event.isTrusted) report();
    }

    acts.forEach((act) => addEventListener(act, onAct, options));
    return report;
  }

  function payForm(form) {
    const origin = new URL(form.dataset.gateway, location.href).origin;
    const method = form.elements.namedItem('payment_method');
    const button = document.getElementById('button');
    const label = document.getElementById('label');
    const error = document.getElementById('error');
    const progress = document.getElementById('progress');
    const box = document.getElementById('card');
    const says = form.dataset;
    const human = form.dataset.open ? watchOpening(form.dataset.open) : () => {};
    let words = Array.from(label.childNodes);
    let afterwards = null;
    let frame = null;
    let ready = false;
    let stage = IDLE;
    let posted = false;
    let timer = 0;

    function show(message) {
      error.textContent = String(message).slice(0, MESSAGE_CHARS_MAX);
    }

    function enable() {
      button.setAttribute('aria-disabled', String(stage !== IDLE || (box !== null && !ready)));
    }

    function rest() {
      clearTimeout(timer);
      stage = IDLE;
      label.replaceChildren(...words);
      progress.textContent = '';
      enable();
      if (afterwards) afterwards();
    }

    /* What is posted is never changed under the payer's hands: calls `act` as soon as nothing is on its way. */
    function whenIdle(act) {
      afterwards = null;
      if (stage === IDLE) act();
      else afterwards = () => whenIdle(act);
    }

    /* Takes over from the form of a newer page what is posted, and what the button says. */
    function renew(fresh) {
      ['attempt', 'version', 'amount_minor'].forEach((name) => {
        form.elements.namedItem(name).value = fresh.elements.namedItem(name).value;
      });
      const chosen = form.elements.namedItem('invoices');
      const afterwards = fresh.elements.namedItem('invoices');
      if (chosen) chosen.remove();
      if (afterwards) form.append(afterwards);
      form.dataset.page = fresh.dataset.page;
      words = Array.from(fresh.querySelector('#label').childNodes);
      label.replaceChildren(...words);
    }

    function work() {
      stage = TOKENIZING;
      show('');
      label.textContent = says.processing;
      progress.textContent = says.processingSaid;
      enable();
    }

    function fail(message) {
      if (box) method.value = '';
      rest();
      show(message);
    }

    function waitAtMost(ms, message) {
      clearTimeout(timer);
      timer = setTimeout(() => fail(message), ms);
    }

    function posting() {
      stage = POSTING;
      posted = true;
      waitAtMost(POST_WAIT_MS, says.slow);
    }

    function onSubmit(event) {
      if (stage !== IDLE || (box !== null && !ready)) {
        event.preventDefault();
        return;
      }
      work();
      if (!box) {
        posting();
        return;
      }
      event.preventDefault();
      waitAtMost(TOKEN_WAIT_MS, says.noAnswer);
      frame.contentWindow.postMessage({ type: 'paylink.tokenize' }, origin);
    }

    function onToken(token) {
      if (stage !== TOKENIZING || typeof token !== 'string' || !/^[A-Za-z0-9_-]{1,255}$/.test(token)) return;
      method.value = token;
      posting();
      form.submit();
    }

    function onReady() {
      clearTimeout(timer);
      ready = true;
      box.hidden = false;
      box.classList.add('ready');
      document.getElementById('loading').hidden = true;
      rest();
      show('');
    }

    function onMessage(event) {
      if (event.origin !== origin || event.source !== frame.contentWindow) return;
      const data = event.data;
      if (typeof data !== 'object' || data === null) return;
      switch (data.type) {
        case 'paylink.ready':
          onReady();
          break;
        case 'paylink.height':
          if (data.height >= FRAME_HEIGHT_MIN && data.height <= FRAME_HEIGHT_MAX) {
            frame.style.blockSize = Math.ceil(data.height) + 'px';
            box.style.minBlockSize = 0;
          }
          break;
        case 'paylink.act':
          human();
          break;
        case 'paylink.submit':
          if (stage === IDLE) form.requestSubmit(button);
          break;
        case 'paylink.token':
          onToken(data.payment_method);
          break;
        case 'paylink.error':
          if (stage === TOKENIZING) fail(data.message || says.checkCard);
          break;
      }
    }

    function load() {
      frame = document.createElement('iframe');
      frame.title = says.frame;
      frame.name = 'paylink-card';
      frame.src = form.dataset.fields;
      addEventListener('message', onMessage);
      box.append(frame);
      timer = setTimeout(() => {
        box.hidden = true;
        fail(says.noForm);
      }, READY_WAIT_MS);
    }

    form.addEventListener('submit', onSubmit);
    // Back from the result: what this page knows is old, and its attempt is used.
    addEventListener('pageshow', (event) => {
      if (event.persisted && posted) location.replace(form.dataset.page);
    });
    method.value = method.defaultValue;
    form.hidden = false;
    if (box) load();
    enable();
    return { page: () => form.dataset.page, attempt: () => form.elements.namedItem('attempt').value, whenIdle, renew };
  }

  /*
   * The page follows its link. Another state is another page. Another total replaces what shows it and
   * what is posted, and leaves the card form alone, in which a payer may be typing.
   */
  function live(main, pay) {
    const paying = document.getElementById('paying');
    const changed = document.getElementById('changed');
    let latest = Number(main.dataset.version);
    let wanted = pay.page();

    function show(page) {
      const fresh = page.querySelector('main[data-state="' + main.dataset.state + '"]');
      if (!fresh) {
        location.replace(wanted);
        return;
      }
      if (Number(fresh.dataset.version) < latest) {
        loadLater();
        return;
      }
      const focused = document.activeElement.id;
      ['sum', 'until'].forEach((id) => {
        document.getElementById(id).replaceChildren(...page.getElementById(id).childNodes);
      });
      pay.renew(page.getElementById('pay'));
      document.title = page.title;
      if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
      if (fresh.dataset.version !== main.dataset.version) {
        main.dataset.version = fresh.dataset.version;
        document.querySelector('#changed-text bdi').textContent = document.getElementById('due').textContent;
        changed.hidden = false;
      }
      choice();
      localTimes();
    }

    /* Another choice is another address of this page; the total is the edge's business. */
    function choice() {
      const form = document.getElementById('choice');
      if (!form) return;
      const choose = (event) => {
        event.preventDefault();
        wanted = form.getAttribute('action') + '?' + new URLSearchParams(new FormData(form));
        load();
      };
      form.querySelector('button').hidden = true;
      form.addEventListener('change', choose);
      form.addEventListener('submit', choose);
    }

    function loadLater() {
      setTimeout(load, LOAD_PAUSE_MS * (1 + Math.random()));
    }

    /*
     * What does not come, or is an error of the moment, must not replace a page with a half-typed card. The edge
     * learns which attempt this page has: who has read it for a while may press Pay at once.
     */
    function load() {
      const asked = wanted;
      fetch(asked, { mode: 'same-origin', cache: 'no-store', headers: { 'Paylink-Attempt': pay.attempt() } })
        .then((reply) => (reply.status < 500 ? reply.text() : Promise.reject()))
        .then((text) => asked === wanted && pay.whenIdle(() => show(new DOMParser().parseFromString(text, 'text/html'))))
        .catch(loadLater);
    }

    function onNews(event) {
      const news = JSON.parse(event.data);
      paying.hidden = !news.paying;
      if (news.state !== main.dataset.state) {
        pay.whenIdle(() => location.replace(wanted));
      } else if (news.version > latest) {
        latest = news.version;
        load();
      }
    }

    /* The browser comes back by itself, but not to an edge that has refused: that is left alone for a while. */
    function connect() {
      const source = new EventSource(main.dataset.events);
      source.addEventListener('link', onNews);
      source.addEventListener('error', () => {
        if (source.readyState === EventSource.CLOSED) setTimeout(connect, LIVE_PAUSE_MS * (1 + Math.random()));
      });
    }

    choice();
    connect();
  }

  function localTimes() {
    document.querySelectorAll('time[datetime]').forEach((time) => {
      const at = new Date(time.dateTime.replace(' ', 'T'));
      if (isNaN(at)) return;
      time.textContent = at.toLocaleString(document.documentElement.lang, {
        month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit', timeZoneName: 'short'
      });
    });
  }

  /*
   * A page that waits goes on when there is news, not by the clock: whoever reads it is not interrupted.
   * The server holds each request until there is news, or for some seconds. Only a page that was got,
   * not posted, waits: its own address is what to ask.
   */
  function watch(main) {
    const same = 'data-state="' + main.dataset.state + '"';
    let pause = CHECK_FIRST_MS;

    function again() {
      setTimeout(check, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 1.5, CHECK_PAUSE_MS_MAX);
    }

    function check() {
      fetch(location.href, { mode: 'same-origin', cache: 'no-store' })
        .then((reply) => (reply.status < 500 ? reply.text() : same))
        .then((page) => (page.includes(same) ? again() : location.reload()))
        .catch(again);
    }

    again();
  }

  const form = document.getElementById('pay');
  const wait = document.getElementById('wait');
  if (form) {
    const pay = payForm(form);
    const main = document.querySelector('main[data-events]');
    if (main) live(main, pay);
  }
  if (wait) watch(wait);
  localTimes();
}());
