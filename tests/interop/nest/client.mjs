/**
 * ClientTCPs on command: `node client.mjs VERSION_DIRECTORY`, a JSON command a line on stdin, a JSON result a line on stdout.
 *
 * Command: {"call": N, "client": NAME, "op": OP, ...}; result: {"call": N, "result": ...} or {"call": N, "failure": TEXT}.
 *   open {host, port, ca}               a client of this name, replacing an older one (nothing connects yet)
 *   send {pattern, data, take, timeout, unsubscribe}   the observable's events, in order
 *   emit {pattern, data}                likewise
 *   many {n, items, window}             {"events": [events of each], "order": [indices as they ended], "log": [[index, kind]...],
 *                                       "ms": duration}; items = [[pattern, data]...] taken in turns, window = in flight at
 *                                       once, lengths: texts are reported by their length
 *   connect, close, status, port        connect, close the client; statuses seen so far; the socket's local port (v11+)
 *   hook {metadata}                     v12: metadata on every packet from here on, null: none
 * `fill: [TEXT, TIMES]` stands for data that would be long to write. `limit` (ms, 20000) bounds what a command waits for.
 * Events: ["next", value], ["complete"], ["error", reason], ["unsubscribed"], ["pending"] (nothing ended it within the limit).
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { load } from './load.mjs';

const [versionDirectory] = process.argv.slice(2);
const [, { ClientTCP }, { Logger }, rxjs] = await load(
  versionDirectory, 'reflect-metadata', '@nestjs/microservices', '@nestjs/common', 'rxjs');
Logger.overrideLogger(false);

const clients = new Map();

function shown(value) {
  if (value === undefined) return '<undefined>';
  if (!(value instanceof Error)) return value;
  return { name: value.name, message: value.message, ...(value.code && { code: value.code }) };
}

// Resolves to the events of the observable, however it ends; `seen` is told of each.
function watch(observable, { take, timeout, unsubscribe, limit = 20000 }, seen = () => {}) {
  if (take !== undefined) observable = observable.pipe(rxjs.take(take));
  if (timeout !== undefined) observable = observable.pipe(rxjs.timeout(timeout));
  return new Promise(resolve => {
    const events = [];
    const subscription = new rxjs.Subscription();
    const add = (...event) => { events.push(event); seen(event[0]); };
    const end = (...event) => { add(...event); clearTimeout(timer); subscription.unsubscribe(); resolve(events); };
    const timer = setTimeout(() => end('pending'), limit);
    subscription.add(observable.subscribe({
      next: value => {
        add('next', shown(value));
        if (unsubscribe !== undefined && events.length >= unsubscribe) end('unsubscribed');
      },
      error: reason => end('error', shown(reason)),
      complete: () => end('complete'),
    }));
    if (unsubscribe === 0) setImmediate(() => end('unsubscribed'));
  });
}

const brief = event => event.map((part, place) => (place && typeof part === 'string' ? part.length : part));

async function many(client, { items, pattern, data, n, window = Infinity, limit, lengths }) {
  const wanted = items ?? [[pattern, data]];
  const total = n ?? wanted.length;
  const events = [];
  const order = [];
  const log = [];
  const began = performance.now();
  const running = new Set();
  for (let index = 0; index < total; index += 1) {
    const done = watch(client.send(...wanted[index % wanted.length]), { limit }, kind => log.push([index, kind]))
      .then(result => { events[index] = lengths ? result.map(brief) : result; order.push(index); running.delete(done); });
    running.add(done);
    if (running.size >= window) await Promise.race(running);
  }
  await Promise.all(running);
  return { events, order, log, ms: performance.now() - began };
}

function open(name, { host = '127.0.0.1', port, ca }) {
  clients.get(name)?.client.close();
  const client = new ClientTCP({ host, port, ...(ca && { tlsOptions: { ca: readFileSync(ca) } }) });
  const statuses = [];
  client.status?.subscribe(status => statuses.push(status));
  clients.set(name, { client, statuses });
  return true;
}

const operations = {
  send: ({ client }, command) => watch(client.send(command.pattern, command.data), command),
  emit: ({ client }, command) => watch(client.emit(command.pattern, command.data), command),
  many: ({ client }, command) => many(client, command),
  connect: async ({ client }) => client.connect().then(() => true, shown),
  close: async ({ client }) => { await client.close(); return true; },
  status: ({ statuses }) => statuses,
  port: ({ client }) => client.unwrap().localPort,
  hook: ({ client }, { metadata }) => {
    client.setOnDispatchHook(packet => { if (metadata !== null) packet.metadata = metadata; });
    return true;
  },
};

async function run(command) {
  const name = command.client ?? 'default';
  if (command.fill) command.data = command.fill[0].repeat(command.fill[1]);
  if (command.op === 'open') return open(name, command);
  return operations[command.op](clients.get(name), command);
}

function reply(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

// Commands run side by side: a caller may send the next one while a result is outstanding.
createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', line => {
  const command = JSON.parse(line);
  run(command).then(
    result => reply({ call: command.call, result }),
    failure => reply({ call: command.call, failure: String(failure?.stack ?? failure) }),
  );
}).on('close', () => process.exit(0));
reply({ ready: true });
