/**
 * A NestJS 12 replica that writes down each run before it answers, so that the count survives `kill -9`.
 *
 * Environment: HOST, PORT, NAME, RUNS (the file to append "KEY PID" lines to), WORK_MS (how long a message takes).
 */
import { appendFileSync } from 'node:fs';
import { load } from '../interop/nest/load.mjs';

const { HOST = '127.0.0.1', PORT = '0', NAME, RUNS, WORK_MS = '10' } = process.env;
const [, { Controller, Module }, { NestFactory }, { MessagePattern, Payload, ServerTCP }] = await load(
  new URL('../interop/nest/v12', import.meta.url).pathname, 'reflect-metadata', '@nestjs/common', '@nestjs/core', '@nestjs/microservices');

const rest = () => new Promise(resolve => setTimeout(resolve, Number(WORK_MS)));

class Work {
  async read() { await rest(); return NAME; }
  async write(key) { appendFileSync(RUNS, `${key} ${process.pid}\n`); await rest(); return NAME; }
}
for (const method of ['read', 'write']) {
  Payload()(Work.prototype, method, 0);
  MessagePattern(method)(Work.prototype, method, Object.getOwnPropertyDescriptor(Work.prototype, method));
}
Controller()(Work);
class App {}
Module({ controllers: [Work] })(App);

const transport = new ServerTCP({ host: HOST, port: PORT });
const app = await NestFactory.createMicroservice(App, { strategy: transport, logger: false });
await app.listen();
console.log(JSON.stringify({ listening: transport.server.address().port }));
process.stdin.resume().on('end', () => process.exit(0));
