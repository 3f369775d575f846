/**
 * One NestJS ClientTCP that sends requests: `node caller.mjs VERSION_DIRECTORY OPTIONS`, OPTIONS as JSON.
 *
 *   port      where to connect
 *   pattern, data           the request; `buffer`: N sends a Buffer of N bytes instead
 *   total, window           that many requests, `window` of them at once; or
 *   rate                    that many a second, until a line arrives on stdin
 *   work      milliseconds of computing for each reply, so that the client reads slowly
 *   timeout   milliseconds after which the caller gives up a request
 *   value     the value that each request must be answered with (by its length where it is a text, as {"length": N})
 *
 * Prints {"ready": true} once connected, then one report: sent, answered, wrong (values), failed (count by code or
 * message), p50 and p99 (ms).
 */
import { createInterface } from 'node:readline';
import { load } from '../interop/nest/load.mjs';

const [versionDirectory, text] = process.argv.slice(2);
const { port, pattern, data, buffer, total = Infinity, window = Infinity, rate = 0, work = 0, timeout = 20000, value } =
  JSON.parse(text);
const [, { ClientTCP }, { Logger }, rxjs] = await load(
  versionDirectory, 'reflect-metadata', '@nestjs/microservices', '@nestjs/common', 'rxjs');
Logger.overrideLogger(false);

const client = new ClientTCP({ host: '127.0.0.1', port });
const payload = buffer ? Buffer.alloc(buffer, 7) : data;
const report = { sent: 0, answered: 0, wrong: 0, failed: {} };
const times = [];

function compute(ms) {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

function right(answer) {
  if (value === undefined) return true;
  return value?.length !== undefined ? answer.length === value.length : answer === value;
}

function send() {
  report.sent += 1;
  const began = performance.now();
  return new Promise(resolve => client.send(pattern, payload).pipe(rxjs.timeout(timeout)).subscribe({
    next: answer => {
      compute(work);
      report.answered += 1;
      if (!right(answer)) report.wrong += 1;
      times.push(performance.now() - began);
    },
    error: reason => {
      const name = reason?.code ?? reason?.message ?? String(reason);
      report.failed[name] = (report.failed[name] ?? 0) + 1;
      resolve();
    },
    complete: resolve,
  }));
}

async function allOfThem() {
  const running = new Set();
  while (report.sent < total) {
    const done = send().then(() => running.delete(done));
    running.add(done);
    if (running.size >= window) await Promise.race(running);
  }
  await Promise.all(running);
}

async function steadily() {
  const running = new Set();
  const stopped = new Promise(resolve => createInterface({ input: process.stdin }).once('line', resolve));
  const timer = setInterval(() => {
    const done = send().then(() => running.delete(done));
    running.add(done);
  }, 1000 / rate);
  await stopped;
  clearInterval(timer);
  await Promise.all(running);
}

await client.connect();
console.log(JSON.stringify({ ready: true }));
await (rate ? steadily() : allOfThem());
times.sort((a, b) => a - b);
report.p50 = times[Math.floor(times.length * 0.5)] ?? null;
report.p99 = times[Math.floor(times.length * 0.99)] ?? null;
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
