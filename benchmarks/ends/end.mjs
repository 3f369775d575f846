/**
 * One end of a request in NestJS: `end.mjs server URL`, or `end.mjs client URL WINDOW SECONDS`.
 *
 * The scheme of the URL names the transport: tcp, nats or redis. Used by pairs.py (as end.py is) and transports.py. A
 * server prints the URL that clients dial, a client a line of JSON.
 */
import 'reflect-metadata';
import { performance } from 'node:perf_hooks';
import { Controller, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientNats, ClientRedis, ClientTCP, MessagePattern, Payload, ServerNats, ServerRedis, ServerTCP,
} from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';

const DATA = { id: 7, text: 'abcdefghijkl' };
const WARM_UP_S = 0.3;
const TRANSPORTS = {
  tcp: { Client: ClientTCP, Server: ServerTCP, options: url => ({ host: url.hostname, port: url.port || '0' }) },
  nats: { Client: ClientNats, Server: ServerNats, options: url => ({ servers: url.host, queue: 'echo' }) },
  redis: { Client: ClientRedis, Server: ServerRedis, options: url => ({ host: url.hostname, port: Number(url.port) }) },
};
const [end, address, window, seconds] = process.argv.slice(2);
const url = new URL(address);
const { Client, Server, options } = TRANSPORTS[url.protocol.slice(0, -1)];

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
  const strategy = new Server(options(url));
  const app = await NestFactory.createMicroservice(App, { strategy, logger: false });
  await app.listen();
  if (strategy instanceof ServerTCP) url.port = strategy.unwrap().address().port;
  console.log(url.href);
  process.stdin.resume().on('end', () => process.exit(0));
}

async function askFor(time, client) {
  const ends = performance.now() + time * 1000;
  const took = [];
  const work = async () => {
    for (let now = performance.now(); now < ends;) {
      const { id } = await lastValueFrom(client.send({ cmd: 'echo' }, DATA));
      if (id !== DATA.id) throw new Error(`answered with ${id}`);
      const then = now;
      now = performance.now();
      took.push(now - then);
    }
  };
  await Promise.all(Array.from({ length: Number(window) }, work));
  return took;
}

async function ask() {
  Logger.overrideLogger(false);
  const client = new Client(options(url));
  await askFor(WARM_UP_S, client);
  const ofServer = await lastValueFrom(client.send('cpu', 1));
  const [ofClient, began] = [cpu(), performance.now()];
  const took = await askFor(Number(seconds), client);
  const [elapsed, used] = [(performance.now() - began) / 1000, cpu() - ofClient];
  const server = (await lastValueFrom(client.send('cpu', 1))) - ofServer;
  const count = took.length;
  const p50 = took.sort((one, other) => one - other)[Math.floor(count / 2)];
  console.log(JSON.stringify({ rate: count / elapsed, p50, client: (used / count) * 1e6, server: (server / count) * 1e6 }));
  process.exit(0);
}

await (end === 'server' ? serve() : ask());
