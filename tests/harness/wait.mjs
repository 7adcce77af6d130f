// Bounded waiting and doing many things at once. Nothing here sleeps for a fixed time.
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';

// Waits until `condition()` gives something true and returns it. A condition that throws is asked
// again; when the time is over, its last answer stands in the error.
export async function waitFor(condition, { timeout = 20_000, interval = 20, what = 'a condition' } = {}) {
  const end = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      last = await condition();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) {
      throw new Error(`waited ${timeout} ms for ${what}; last answer: ${inspect(last, { depth: 4 })}`);
    }
    await pause(interval);
  }
}

// A busy machine is slow now and then, a fault is there every time: one of some measurements has to be within `limit`.
export async function atBest(limit, measure, rounds = 8) {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    all.push(await measure());
    if (all.at(-1) <= limit) return;
  }
  throw new Error(`never within ${limit}: ${all.map(Math.round)}`);
}

// `count` calls of fn(index), all started before any is waited for.
export function together(count, fn) {
  return Promise.all(Array.from({ length: count }, (_, index) => fn(index)));
}

// How often each value occurs: { accepted: 1, duplicate: 99 }.
export function tally(values) {
  const counts = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
