// What the benches share: load through wrk, CPU time of processes, pinning, medians, tables.
import { execFileSync, spawn } from 'node:child_process';
import fs, { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { waitFor } from '../harness/index.mjs';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK']).toString());

export function pin(pid, cpu) {
  execFileSync('taskset', ['-a', '-c', '-p', String(cpu), String(pid)], { stdio: 'ignore' });
}

// Children of a process, for nginx's workers and PostgreSQL's backends.
export function childrenOf(pid) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
    } catch {
      return false;
    }
  }).map(Number);
}

function cpuTicks(pid, fields) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const values = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.reduce((ticks, field) => ticks + Number(values[field]), 0);
}

export const cpuSeconds = (pid) => cpuTicks(pid, [11, 12]) / TICKS_PER_SECOND;

// Of a process and all children that it has or had. A child that ends meanwhile is among those it had.
export function familySeconds(pid) {
  const children = childrenOf(pid).reduce((sum, child) => {
    try {
      return sum + cpuSeconds(child);
    } catch {
      return sum;
    }
  }, 0);
  return children + cpuTicks(pid, [11, 12, 13, 14]) / TICKS_PER_SECOND;
}

export function run(command, args, { env = {}, input } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    child.stdin.end(input);
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => { out += chunk; });
    child.stderr.on('data', (chunk) => { err += chunk; });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve(out)
      : reject(new Error(`${command} ended with ${code}: ${err || out}`))));
  });
}

const UNIT_MS = { us: 0.001, ms: 1, s: 1000 };

// One round of wrk on CPU `cpu`. `failures` counts socket errors and, unless `anyStatus`, answers
// that are not 2xx or 3xx.
export async function wrk(url, { connections, seconds, cpu, script, env, anyStatus = false }) {
  const args = ['-c', String(cpu), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency'];
  if (script) args.push('-s', script);
  const out = await run('taskset', [...args, url], { env });
  const latency = (percent) => {
    const [, value, unit] = out.match(new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`));
    return Number(value) * UNIT_MS[unit];
  };
  const errors = out.match(/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/);
  const refused = out.match(/Non-2xx or 3xx responses: (\d+)/);
  return {
    requests: Number(out.match(/(\d+) requests in/)[1]),
    perSecond: Number(out.match(/Requests\/sec:\s+([\d.]+)/)[1]),
    p50Ms: latency(50),
    p99Ms: latency(99),
    failures: (errors ? errors.slice(1).reduce((sum, n) => sum + Number(n), 0) : 0)
      + (refused && !anyStatus ? Number(refused[1]) : 0),
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Rounds of each side in turns, so that whatever else the machine does hits all of them alike. `sides` is
// { name: async () => figures }; -> { name: rounds }, each also with the median of every figure as a property.
export async function alternate(rounds, sides) {
  const all = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, side] of Object.entries(sides)) all[name].push(await side());
  }
  for (const list of Object.values(all)) {
    for (const figure of Object.keys(list[0])) list[figure] = median(list.map((one) => one[figure]));
  }
  return all;
}

// The median of the rounds' own ratios: neighbours in time are compared with each other.
export function ratio(a, b, figure) {
  return median(a.map((round, i) => round[figure] / b[i][figure])).toFixed(2);
}

// A Markdown table, columns aligned so that a terminal shows it well too.
export function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  const line = (row) => `| ${row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((w, i) => (i ? `${'-'.repeat(w + 1)}:` : '-'.repeat(w + 2))).join('|')}|`;
  return [line(cells[0]), rule, ...cells.slice(1).map(line)].join('\n');
}

export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * percent / 100) - 1)];
}

// A process that writes to a log; stopped by whoever starts it.
export function start(command, args, env, log) {
  const out = fs.openSync(log, 'a');
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', out, out] });
  fs.closeSync(out);
  return child;
}

const nginxConf = (dir, main, http) => `daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr; ${process.getuid() === 0 ? 'user root;' : ''} ${main}
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http { access_log off; keepalive_requests 1000000; keepalive_timeout 600s; server_tokens off;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`).join(' ')}
${http} }
`;

// An nginx of its own in `dir`, with one worker; -> { child, pid of the worker }.
export async function startNginx(dir, main, http, env = {}) {
  fs.mkdirSync(dir, { recursive: true });
  fs.writeFileSync(path.join(dir, 'nginx.conf'), nginxConf(dir, main, http));
  const child = start('nginx', ['-e', 'stderr', '-p', dir, '-c', 'nginx.conf'], env, path.join(dir, 'log'));
  await waitFor(() => childrenOf(child.pid).length === 1, { what: 'nginx of a peer' });
  return { child, pid: childrenOf(child.pid)[0] };
}
