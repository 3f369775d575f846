/**
 * NestJS 12 callers under a steady load: `node caller.mjs '{"port":1,"seconds":5,"rate":500}'`.
 *
 * `rate`: requests a second on one connection, half `read` (idempotent) and half `write`, each with a key of its own, for
 * `seconds`, or where these are not given until stdin has a line or ends; or
 * `callers` and `total`: that many connections, each with `window` requests outstanding until `total` were sent in all.
 * Prints one JSON line: sent, ended, slowest (ms), replicas (answers by name), failed ([pattern, key, code, message]).
 */
import { load } from '../interop/nest/load.mjs';

const { port, seconds = Infinity, rate = 0, callers = 1, total = 0, window = 1 } = JSON.parse(process.argv[2]);
const [, { ClientTCP }, { Logger }] = await load(
  new URL('../interop/nest/v12', import.meta.url).pathname, 'reflect-metadata', '@nestjs/microservices', '@nestjs/common');
Logger.overrideLogger(false);

const report = { sent: 0, ended: 0, slowest: 0, replicas: {}, failed: [] };
const running = new Set();
let stopped = false;
for (const event of ['data', 'end']) process.stdin.once(event, () => { stopped = true; });

function send(client) {
  report.sent += 1;
  const key = `${process.pid}-${report.sent}`;
  const pattern = report.sent % 2 ? 'read' : 'write';
  const began = performance.now();
  const done = new Promise(resolve => client.send(pattern, key).subscribe({
    next: name => { report.replicas[name] = (report.replicas[name] ?? 0) + 1; },
    error: reason => { report.failed.push([pattern, key, reason?.code ?? null, reason?.message ?? String(reason)]); resolve(); },
    complete: resolve,
  })).then(() => {
    report.ended += 1;
    report.slowest = Math.max(report.slowest, performance.now() - began);
    running.delete(done);
  });
  running.add(done);
  return done;
}

async function steadily(client) {
  const began = performance.now();
  for (let now = began; now < began + seconds * 1000 && !stopped; now = performance.now()) {
    while (report.sent < ((now - began) / 1000) * rate) send(client);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

async function inTurns(client) {
  while (report.sent < total) await send(client);
}

const clients = Array.from({ length: callers }, () => new ClientTCP({ host: '127.0.0.1', port }));
await Promise.all(clients.map(client => client.connect()));
console.log(JSON.stringify({ ready: true }));
if (rate) await steadily(clients[0]);
else await Promise.all(clients.flatMap(client => Array.from({ length: window }, () => inTurns(client))));
await Promise.race([Promise.all(running), new Promise(resolve => setTimeout(resolve, 30000))]);
console.log(JSON.stringify(report));
process.exit(0);
