/**
 * NestJS 12 clients under a steady load of messages with keys: `node chaos_caller.mjs OPTIONS`, OPTIONS as JSON.
 *
 *   orders, ledger   ports: a service of several replicas, and one of a single replica
 *   seconds, rate    how long, and how many messages a second in all
 *   patience         milliseconds to wait for what has not ended when the time is over
 *
 * A key is SERVICE.CLIENT.EPOCH.NUMBER.MS: the epoch counts the client's connections, so that order is judged within
 * one; NUMBER counts its messages; MS is when it was sent. Requests are answered with their key.
 * Prints {"ready": true}, then one report: sent (count by kind), answered (keys of writes), failed ([kind, key, code]),
 * hung (keys), doubled (replies under an id that had ended), wrong (keys).
 */
import { load } from '../interop/nest/load.mjs';

const { orders, ledger, seconds, rate, patience = 30000 } = JSON.parse(process.argv[2]);
const [, { ClientTCP }, { Logger }] = await load(
  new URL('../interop/nest/v12', import.meta.url).pathname, 'reflect-metadata', '@nestjs/microservices', '@nestjs/common');
Logger.overrideLogger(false);

const report = { sent: { read: 0, write: 0, event: 0 }, answered: [], failed: [], hung: [], doubled: 0, wrong: [] };
const running = new Map();

/** A stock client that also counts the replies which it ignores: those to a request that has ended. */
class Watched extends ClientTCP {
  handleResponse(packet) {
    if (!this.routingMap.has(packet.id)) report.doubled += 1;
    return super.handleResponse(packet);
  }
}

class Sender {
  constructor(service, serial, port, kinds) {
    this.name = `${service}.${serial}`;
    this.kinds = kinds;
    this.epoch = 0;
    this.number = 0;
    this.client = new Watched({ host: '127.0.0.1', port });
    this.client.status.subscribe(status => { if (status === 'disconnected') this.epoch += 1; });
  }

  send() {
    const kind = this.kinds[this.number % this.kinds.length];
    const key = `${this.name}.${this.epoch}.${this.number}.${Date.now()}`;
    this.number += 1;
    report.sent[kind] += 1;
    if (kind === 'event') {
      this.client.emit(kind, key).subscribe({ error: () => {} });
      return;
    }
    let value;
    const done = new Promise(resolve => this.client.send(kind, key).subscribe({
      next: answer => {
        if (value !== undefined || answer !== key) report.wrong.push(key);
        value = answer;
      },
      error: reason => { report.failed.push([kind, key, reason?.code ?? reason?.message ?? String(reason)]); resolve(); },
      complete: () => {
        if (value === undefined) report.wrong.push(key);
        else if (kind === 'write') report.answered.push(key);
        resolve();
      },
    })).then(() => running.delete(key));
    running.set(key, done);
  }
}

const senders = [
  ...[0, 1, 2, 3].map(serial => new Sender('orders', serial, orders, ['read', 'write', 'read', 'event', 'write'])),
  new Sender('ledger', 0, ledger, ['write', 'event']),
];
await Promise.all(senders.map(({ client }) => client.connect()));
console.log(JSON.stringify({ ready: true }));

const began = performance.now();
let sent = 0;
for (let now = began; now < began + seconds * 1000; now = performance.now()) {
  for (; sent < ((now - began) / 1000) * rate; sent += 1) senders[sent % senders.length].send();
  await new Promise(resolve => setTimeout(resolve, 2));
}
await Promise.race([Promise.all(running.values()), new Promise(resolve => setTimeout(resolve, patience))]);
await new Promise(resolve => setTimeout(resolve, 500));  // late replies would be counted as doubled
report.hung = [...running.keys()];
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
