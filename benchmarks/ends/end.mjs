/**
 * One end of a pair in NestJS: `end.mjs VERSION_DIRECTORY server`, or `... client PORT WINDOW SECONDS`.
 *
 * Speaks as end.py does: a server prints its port, a client a line of JSON.
 */
import { performance } from 'node:perf_hooks';
import { load } from '../../tests/interop/nest/load.mjs';

const DATA = { id: 7, text: 'abcdefghijkl' };
const WARM_UP_S = 0.3;
const [versionDirectory, end, port, window, seconds] = process.argv.slice(2);
const [, { Controller, Logger, Module }, { NestFactory }, { ClientTCP, MessagePattern, Payload, ServerTCP }, { lastValueFrom }] =
  await load(versionDirectory, 'reflect-metadata', '@nestjs/common', '@nestjs/core', '@nestjs/microservices', 'rxjs');

const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };

async function serve() {
  class Handlers {}
  const handle = (pattern, name, run) => {
    Handlers.prototype[name] = run;
    Payload()(Handlers.prototype, name, 0);
    MessagePattern(pattern)(Handlers.prototype, name, Object.getOwnPropertyDescriptor(Handlers.prototype, name));
  };
  handle({ cmd: 'echo' }, 'echo', async data => data);
  handle('cpu', 'cpu', cpu);
  Controller()(Handlers);
  class App {}
  Module({ controllers: [Handlers] })(App);
  const strategy = new ServerTCP({ host: '127.0.0.1', port: '0' });
  const app = await NestFactory.createMicroservice(App, { strategy, logger: false });
  await app.listen();
  console.log(strategy.server.address().port);
  process.stdin.resume().on('end', () => process.exit(0));
}

async function askFor(time, client) {
  const ends = performance.now() + time * 1000;
  let answered = 0;
  const work = async () => {
    while (performance.now() < ends) {
      const { id } = await lastValueFrom(client.send({ cmd: 'echo' }, DATA));
      if (id !== DATA.id) throw new Error(`answered with ${id}`);
      answered += 1;
    }
  };
  await Promise.all(Array.from({ length: Number(window) }, work));
  return answered;
}

async function ask() {
  Logger.overrideLogger(false);
  const client = new ClientTCP({ host: '127.0.0.1', port: Number(port) });
  await askFor(WARM_UP_S, client);
  const ofServer = await lastValueFrom(client.send('cpu', 1));
  const [ofClient, began] = [cpu(), performance.now()];
  const answered = await askFor(Number(seconds), client);
  const [took, used] = [(performance.now() - began) / 1000, cpu() - ofClient];
  const server = (await lastValueFrom(client.send('cpu', 1))) - ofServer;
  console.log(JSON.stringify({ rate: answered / took, client: (used / answered) * 1e6, server: (server / answered) * 1e6 }));
  process.exit(0);
}

await (end === 'server' ? serve() : ask());
