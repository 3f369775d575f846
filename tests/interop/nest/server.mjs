/**
 * One NestJS replica with every handler that the tests call: `node server.mjs VERSION_DIRECTORY`.
 *
 * Environment: HOST (127.0.0.1), PORT (0: any), NAME (what `who` answers), TLS (a PEM file with key and
 * certificate), SHUTDOWN_HOOKS=1, NEST_LOG=1 (logs on stderr).
 * Prints one line {"listening": PORT} when ready. Leaves when its stdin ends, so that no replica outlives its test run.
 * Decorators are applied as plain functions: nothing here is compiled.
 */
import { readFileSync } from 'node:fs';
import { load } from './load.mjs';

const [versionDirectory] = process.argv.slice(2);
const { HOST = '127.0.0.1', PORT = '0', NAME = 'replica', TLS, SHUTDOWN_HOOKS, NEST_LOG } = process.env;
const [, { Controller, Module }, { NestFactory }, microservices, rxjs] = await load(
  versionDirectory, 'reflect-metadata', '@nestjs/common', '@nestjs/core', '@nestjs/microservices', 'rxjs');
const { Ctx, EventPattern, MessagePattern, Payload, RpcException, ServerTCP } = microservices;
const { EMPTY, Observable, concat, interval, map, of, range, take, throwError } = rxjs;

// What ran, by key and how often; `ran` answers as soon as a key has run so many times, so that no test has to sleep.
const runs = new Map();
const waiters = new Set();
const gates = new Map();

function note(key) {
  runs.set(key, (runs.get(key) ?? 0) + 1);
  for (const waiter of waiters) waiter();
  return runs.get(key);
}

function ran({ key, times = 1 }) {
  return new Promise(resolve => {
    const waiter = () => {
      const count = runs.get(key) ?? 0;
      if (count >= times) {
        waiters.delete(waiter);
        resolve(count);
      }
    };
    waiters.add(waiter);
    waiter();
  });
}

function gate(key) {
  if (!gates.has(key)) {
    let open;
    const opened = new Promise(resolve => { open = resolve; });
    gates.set(key, { opened, open });
  }
  return gates.get(key);
}

const keyOf = data => (data !== null && typeof data === 'object' ? data.key ?? 'none' : data);
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

class Handlers {}

function handle(decorator, method, run) {
  Handlers.prototype[method] = run;
  Payload()(Handlers.prototype, method, 0);
  Ctx()(Handlers.prototype, method, 1);
  decorator(Handlers.prototype, method, Object.getOwnPropertyDescriptor(Handlers.prototype, method));
}

const answer = (pattern, run, method = String(pattern)) => handle(MessagePattern(pattern), method, run);
const listen = (pattern, method, run) => handle(EventPattern(pattern), method, run);

// Values, by each form of pattern.
answer('echo', data => data);
answer({ cmd: 'sum' }, data => data.reduce((sum, value) => sum + value, 0), 'sum');
answer(123, () => 'numPat', 'numPat');
answer({ b: 1, a: { d: 'x', c: 2 } }, () => 'objPat', 'objPat');
answer('undef', () => undefined);
answer('nul', () => null);
answer('typeofd', data => typeof data);
answer('large', characters => 'x'.repeat(characters));
answer('metadata', (data, context) => context.getMetadata?.() ?? null);
answer('slow', async ms => (await sleep(ms), { slept: ms }));

// Streams.
answer('empty', () => EMPTY);
answer('stream', ({ n }) => range(1, n));
answer('ticks', ({ n, every, key }) => interval(every).pipe(take(n), map(tick => (key && note(`ticks:${key}`), tick))));
answer('lateDone', () => new Observable(observer => {
  observer.next(1);
  observer.next(2);
  setTimeout(() => observer.complete(), 20);
}));
answer('undefMid', () => of(1, undefined, 3));
answer('obsErr', () => concat(of(1, 2), throwError(() => new RpcException('mid'))));
answer('lateErr', () => concat(of(1), interval(5).pipe(take(1)), throwError(() => new RpcException('late'))));

// Errors.
answer('boom', reason => { throw new RpcException(reason); });
answer('boomWith', ({ reason }) => { throw new RpcException(reason); });
answer('boomLater', async reason => { await sleep(1); throw new RpcException(reason); });
answer('crash', () => { throw new Error('secret detail'); });
answer('crashText', () => { throw 'secret text'; });

// Events. The first handler of `ev` gives nothing and the second 2: a request to them is answered {"next":2}.
listen('ev', 'firstEvent', data => { note(`ev1:${keyOf(data)}`); });
listen('ev', 'secondEvent', data => { note(`ev2:${keyOf(data)}`); return 2; });
listen({ a: 'x', b: 1 }, 'objectEvent', data => { note(`objectEvent:${keyOf(data)}`); });
listen(5, 'numberEvent', data => { note(`numberEvent:${keyOf(data)}`); });
listen('evCrash', 'crashingEvent', data => { note(`evCrash:${keyOf(data)}`); throw new Error('secret detail'); });
listen('evMetadata', 'metadataEvent', (data, context) => {
  note(`evMetadata:${JSON.stringify(context.getMetadata?.() ?? null)}`);
});

// What ran where.
answer('who', () => NAME);
answer('once', key => note(`once:${keyOf(key)}`));
answer('count', key => runs.get(key) ?? 0);
answer('runs', () => Object.fromEntries(runs));
answer('ran', ran);

// A request that ends when another message opens its gate: order and loss without clocks.
answer('gate', async key => { note(`gate:${key}`); await gate(key).opened; return key; });
answer('open', key => { gate(key).open(); return true; });

Controller()(Handlers);
class App {}
Module({ controllers: [Handlers] })(App);

// As text: v10 takes the number 0 for "not given".
const tlsOptions = TLS && { key: readFileSync(TLS), cert: readFileSync(TLS) };
const transport = new ServerTCP({ host: HOST, port: PORT, ...(tlsOptions && { tlsOptions }) });
const say = process.stdout.write.bind(process.stdout);
if (NEST_LOG) process.stdout.write = process.stderr.write.bind(process.stderr);
const app = await NestFactory.createMicroservice(App, { strategy: transport, logger: NEST_LOG ? undefined : false });
if (SHUTDOWN_HOOKS) app.enableShutdownHooks();
await app.listen();
say(`${JSON.stringify({ listening: transport.server.address().port })}\n`);
process.stdin.resume().on('end', () => process.exit(0));
