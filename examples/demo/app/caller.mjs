/**
 * The demo's caller: one NestJS client, so one connection for life. `node caller.mjs PORT SECONDS`
 *
 * Keeps 20 requests outstanding for that time and prints one JSON line: sent, ended, failed, slowest (ms), and how many
 * answers came from each replica.
 */
import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import { ClientTCP } from '@nestjs/microservices';

const [port, seconds] = process.argv.slice(2).map(Number);
Logger.overrideLogger(false);
const client = new ClientTCP({ host: '127.0.0.1', port });
const report = { sent: 0, ended: 0, failed: 0, slowest: 0, replicas: {} };

function ask() {
  report.sent += 1;
  const began = performance.now();
  return new Promise(resolve => client.send({ cmd: 'price' }, { quantity: report.sent }).subscribe({
    next: ({ replica }) => { report.replicas[replica] = (report.replicas[replica] ?? 0) + 1; },
    error: () => { report.failed += 1; resolve(); },
    complete: resolve,
  })).then(() => {
    report.ended += 1;
    report.slowest = Math.max(report.slowest, performance.now() - began);
  });
}

async function keepAsking(until) {
  while (performance.now() < until) await ask();
}

const until = performance.now() + seconds * 1000;
const finished = Promise.all(Array.from({ length: 20 }, () => keepAsking(until)));
await Promise.race([finished, new Promise(resolve => setTimeout(resolve, seconds * 1000 + 10000))]);
console.log(JSON.stringify(report));
process.exit(0);
