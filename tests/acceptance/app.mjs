/**
 * A NestJS replica that the acceptance tests call: `node app.mjs VERSION_DIRECTORY`.
 *
 * Environment: PORT (0: any), NAME (what `who` answers), RECORD (a file: one line "PID KIND KEY" for each message that
 * ran, in the order in which they ran), WORKERS (that many processes of Node's `cluster` accept at the one port).
 * Prints one line {"listening": PORT} when all processes listen. Exits when its stdin ends.
 */
import cluster from 'node:cluster';
import { appendFileSync } from 'node:fs';
import { load } from '../interop/nest/load.mjs';

const [versionDirectory] = process.argv.slice(2);
const { PORT = '0', NAME = 'replica', RECORD, WORKERS } = process.env;

if (WORKERS && cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', (worker, { port }) => {
    listening += 1;
    if (listening === Number(WORKERS)) console.log(JSON.stringify({ listening: port }));
  });
  for (let worker = 0; worker < Number(WORKERS); worker += 1) cluster.fork();
  process.stdin.resume().on('end', () => process.exit(0));
} else {
  await serve();
}

async function serve() {
  const [, { Controller, Module }, { NestFactory }, microservices, rxjs] = await load(
    versionDirectory, 'reflect-metadata', '@nestjs/common', '@nestjs/core', '@nestjs/microservices', 'rxjs');
  const { EventPattern, MessagePattern, Payload, ServerTCP } = microservices;

  class Handlers {}
  function handle(decorator, method, run) {
    Handlers.prototype[method] = run;
    Payload()(Handlers.prototype, method, 0);
    decorator(Handlers.prototype, method, Object.getOwnPropertyDescriptor(Handlers.prototype, method));
  }
  const answer = (pattern, run) => handle(MessagePattern(pattern), pattern, run);
  const note = (kind, key) => appendFileSync(RECORD, `${process.pid} ${kind} ${key}\n`);
  const gates = new Map();
  const gate = key => {
    if (!gates.has(key)) {
      let open;
      gates.set(key, { opened: new Promise(resolve => { open = resolve; }), open: value => open(value), waiting: 0 });
    }
    return gates.get(key);
  };

  answer('echo', data => data);
  answer('who', () => NAME);
  answer('pid', async ms => { await new Promise(resolve => setTimeout(resolve, ms)); return process.pid; });
  answer('large', characters => 'x'.repeat(characters));
  answer('length', data => (data?.data ?? data).length);

  // What no client ends: NestJS has no message for "unsubscribed".
  answer('never', () => rxjs.NEVER);
  answer('subject', () => new rxjs.BehaviorSubject(1));
  answer('interval', ms => rxjs.interval(ms));

  // What is written down.
  answer('write', key => { note('write', key); return key; });
  answer('read', key => { note('read', key); return key; });
  handle(EventPattern('event'), 'event', key => { note('event', key); });

  // Requests that wait until another message opens their gate.
  answer('gate', async key => { gate(key).waiting += 1; await gate(key).opened; return key; });
  answer('waiting', key => gate(key).waiting);
  answer('open', key => { gate(key).open(); return gate(key).waiting; });

  Controller()(Handlers);
  class App {}
  Module({ controllers: [Handlers] })(App);

  const transport = new ServerTCP({ host: '127.0.0.1', port: PORT });
  const app = await NestFactory.createMicroservice(App, { strategy: transport, logger: false });
  await app.listen();
  if (!cluster.isWorker) {
    console.log(JSON.stringify({ listening: transport.server.address().port }));
    process.stdin.resume().on('end', () => process.exit(0));
  }
}
