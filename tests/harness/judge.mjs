// Judges of a page: card numbers in what is sent, accessibility, HTML, layout. Each gives a list of findings,
// [] when there are none.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { HtmlValidate } from 'html-validate';

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const DIGITS_MIN = 13;
const DIGITS_MAX = 19;

function luhn(digits) {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    sum += i % 2 ? (digit * 2 > 9 ? digit * 2 - 9 : digit * 2) : digit;
  }
  return sum % 10 === 0;
}

// Everything that could be a card number, however it is encoded or grouped.
export function cardNumbers(text) {
  const found = new Set();
  const plain = text.replace(/\+/g, ' ').replace(/(?:%[0-9a-f]{2})+/gi, (part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  for (const [run] of plain.matchAll(/\d(?:[ -]?\d){12,}/g)) {
    const digits = run.replace(/\D/g, '');
    for (let from = 0; from + DIGITS_MIN <= digits.length; from++) {
      for (let length = DIGITS_MIN; length <= DIGITS_MAX && from + length <= digits.length; length++) {
        const part = digits.slice(from, from + length);
        if (luhn(part)) found.add(part);
      }
    }
  }
  return [...found];
}

// Of a page, not of a document in a frame: its heading and landmarks are those of the page around it.
const AXE_PAGE_RULES = ['landmark-one-main', 'page-has-heading-one', 'region'];

// What lies behind a transparent frame: axe-core, which sees one document at a time, would take white.
async function showThrough(frame, on) {
  if (!frame.parentFrame()) return;
  const behind = on && await (await frame.frameElement()).evaluate((node) => {
    for (let at = node; at; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (backgroundColor !== 'rgba(0, 0, 0, 0)') return backgroundColor;
    }
    return 'Canvas';
  });
  await frame.evaluate((color) => { document.documentElement.style.backgroundColor = color || ''; }, behind);
}

// axe-core in the page and in each of its frames: the rules of WCAG 2.2 AA and best practice. Scripts must be on.
export async function accessibility(page) {
  const findings = [];
  for (const frame of page.frames()) {
    if (!await frame.evaluate(() => 'axe' in globalThis)) await frame.evaluate(AXE);
    await showThrough(frame, true);
    const { violations } = await frame.evaluate(
      ([tags, off]) => globalThis.axe.run(document, {
        runOnly: tags, rules: Object.fromEntries(off.map((rule) => [rule, { enabled: false }])), iframes: false, resultTypes: ['violations'],
      }), [AXE_TAGS, frame.parentFrame() ? AXE_PAGE_RULES : []]);
    await showThrough(frame, false);
    for (const { id, nodes } of violations) {
      findings.push(...nodes.map((node) => `axe ${id}: ${node.target} (${node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message})`));
    }
  }
  return findings;
}

const RULES = {
  // The length that a search engine shows is nothing to a payment page; merchants' names may be long.
  'long-title': 'off',
  // Inside <noscript> only, on pages that wait for an answer: nothing else can renew a page without script,
  // and nothing that a payer has typed is there to be lost.
  'meta-refresh': 'off',
};
const PRESETS = ['html-validate:recommended', 'html-validate:document', 'html-validate:a11y'];
const edge = new HtmlValidate({ extends: PRESETS, rules: RULES });
// The sandbox loads its own files from its own origin; only the payer's page names what it loads by hash.
const sandbox = new HtmlValidate({ extends: PRESETS, rules: { ...RULES, 'require-sri': ['error', { target: 'crossorigin' }] } });

// The markup as it came over the wire.
export async function markup(text, { gateway = false } = {}) {
  const report = await (gateway ? sandbox : edge).validateString(text);
  return report.results.flatMap(({ messages }) =>
    messages.map(({ ruleId, message, line, column }) => `html ${ruleId}: ${message} (${line}:${column})`));
}

// Whatever makes a page scroll sideways, frames included.
export async function overflow(page) {
  const findings = [];
  for (const frame of page.frames()) {
    findings.push(...await frame.evaluate(() => {
      const root = document.documentElement;
      if (root.scrollWidth <= root.clientWidth) return [];
      const wide = [...document.querySelectorAll('body *')].filter((node) => node.getBoundingClientRect().right > root.clientWidth + 0.5);
      return [`overflow: ${root.scrollWidth} px on ${root.clientWidth} px: ${wide.slice(0, 3).map((node) => node.outerHTML.slice(0, 80)).join(' | ')}`];
    }));
  }
  return findings;
}
