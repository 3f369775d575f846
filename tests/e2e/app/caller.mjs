/**
 * NestJS callers under a steady load: `node caller.mjs '{"host":"orders","port":3001,"seconds":5,"rate":300}'`.
 *
 * `rate` is messages a second on one connection; `mix` gives the share of each pattern, as {"quick":0.9,"slow":0.1}:
 * all of them are requests, but for `event`.
 * `total` with `window` sends that many, so many at a time, instead. `once` sends one pattern once and prints its answer.
 * `last` is how many it sends one by one after SIGTERM, before it ends.
 * Prints `ready`, then one JSON line: sent, ended, events (of those), failed (how many by pattern and message), hung,
 * and of each replica how many requests it ended and when it answered first and last (ms of the clock).
 */
import { load } from './load.mjs';

const {
  host = 'orders', port = 3001, seconds = 0, rate = 0, mix = { quick: 1 }, total = 0, window = 1, once, data = '', last = 0,
} = JSON.parse(process.argv[2]);
const [, { ClientTCP }, { Logger }] = await load('nest', 'reflect-metadata', '@nestjs/microservices', '@nestjs/common');
Logger.overrideLogger(false);
const HANGS_MS = 20_000;

const report = { sent: 0, ended: 0, hung: 0, events: 0, failed: {}, replicas: {} };
const running = new Set();
let ending = false;
if (last) process.once('SIGTERM', () => { ending = true; });
const client = new ClientTCP({ host, port });

function choose() {
  let left = Math.random();
  for (const [pattern, share] of Object.entries(mix)) if ((left -= share) < 0) return pattern;
  return Object.keys(mix)[0];
}

function heard(name) {
  const known = report.replicas[name] ??= { answers: 0, first: Date.now(), last: 0 };
  known.answers += 1;
  known.last = Date.now();
}

function send(pattern) {
  report.sent += 1;
  const done = new Promise(resolve => {
    let name;
    const sending = pattern === 'event' ? client.emit(pattern, data) : client.send(pattern, data);
    sending.subscribe({
      next: answer => { name = answer; },
      error: reason => {
        const words = `${pattern}: ${reason?.message ?? String(reason)}`;
        report.failed[words] = (report.failed[words] ?? 0) + 1;
        resolve();
      },
      complete: () => { if (pattern === 'event') report.events += 1; else heard(name); resolve(); },
    });
  }).then(() => { report.ended += 1; running.delete(done); });
  running.add(done);
  return done;
}

async function steadily() {
  const began = performance.now();
  for (let now = began; now < began + seconds * 1000 && !ending; now = performance.now()) {
    while (report.sent < ((now - began) / 1000) * rate) send(choose());
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

async function inTurns() {
  while (report.sent < total) await send(choose());
}

await client.connect().catch(() => undefined);
console.log('ready');
if (once) {
  client.send(once, data).subscribe({
    next: answer => console.log(JSON.stringify({ answer })),
    error: reason => { console.log(JSON.stringify({ error: reason?.message ?? String(reason) })); process.exit(0); },
    complete: () => process.exit(0),
  });
} else {
  if (rate) await steadily();
  else await Promise.all(Array.from({ length: window }, inTurns));
  if (ending) for (let sent = 0; sent < last; sent += 1) await send('quick');
  await Promise.race([Promise.all(running), new Promise(resolve => setTimeout(resolve, HANGS_MS))]);
  report.hung = running.size;
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}
