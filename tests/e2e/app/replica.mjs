/**
 * A NestJS replica with handlers of several lengths, and nothing of its own for the day when it is ended.
 *
 * Environment: HOST and PORT to listen on; NEXT, a comma-separated list of `name:port`, is asked by `chain`; with
 * OTEL_EXPORTER_OTLP_ENDPOINT, `traced` has a span of OpenTelemetry's SDK. Prints a JSON line when SIGTERM comes, with
 * the number of events that it has had.
 */
import { hostname } from 'node:os';
import { load } from './load.mjs';

const { HOST = '::', PORT = '3001', NEXT = '', OTEL_EXPORTER_OTLP_ENDPOINT } = process.env;
const [, { Controller, Module }, { NestFactory },
  { ClientTCP, Ctx, EventPattern, MessagePattern, Payload, RpcException, Transport }, { Observable, firstValueFrom }] =
  await load('nest', 'reflect-metadata', '@nestjs/common', '@nestjs/core', '@nestjs/microservices', 'rxjs');

const name = hostname();
let events = 0;
const after = (ms, value) => new Promise(resolve => setTimeout(() => resolve(value), ms));
const spans = OTEL_EXPORTER_OTLP_ENDPOINT && await tracer();
const next = NEXT.split(',').filter(Boolean).map(place => {
  const [host, port] = place.split(':');
  return new ClientTCP({ host, port: Number(port) });
});

/** What the handlers are called by is what callers send. */
class Work {
  quick() { return after(5, name); }
  slow() { return after(2000, name); }
  stream() {
    return new Observable(subscriber => {
      let sent = 0;
      const timer = setInterval(() => {
        subscriber.next(name);
        if (++sent === 5) { clearInterval(timer); subscriber.complete(); }
      }, 400);
      return () => clearInterval(timer);
    });
  }
  /** Asks the next ones in turn, each of which is told how far it is; answers who was asked. */
  async chain(depth) {
    const ask = client => firstValueFrom(client.send('chain', depth - 1)).catch(reason => {
      throw new RpcException(`${name}: ${reason?.message ?? reason}`);
    });
    const asked = depth > 0 ? await Promise.all(next.map(ask)) : [];
    return [name, ...asked.flat()];
  }
  /** Answers how many events came here. */
  count() { return [name, events]; }
  event() { events += 1; }
  traced(data, context) {
    const span = spans?.begin(context.getPacket?.()?.metadata ?? context.getMetadata?.() ?? {});
    return after(5, name).finally(() => span?.end());
  }
}
for (const method of ['quick', 'slow', 'stream', 'chain', 'count', 'event', 'traced']) {
  Payload()(Work.prototype, method, 0);
  Ctx()(Work.prototype, method, 1);
  (method === 'event' ? EventPattern : MessagePattern)(method)(Work.prototype, method, Object.getOwnPropertyDescriptor(Work.prototype, method));
}
Controller()(Work);
class App {}
Module({ controllers: [Work] })(App);

async function tracer() {
  const [api, core, { OTLPTraceExporter }, { resourceFromAttributes }, { NodeTracerProvider, SimpleSpanProcessor }] = await load(
    'tracing', '@opentelemetry/api', '@opentelemetry/core', '@opentelemetry/exporter-trace-otlp-http',
    '@opentelemetry/resources', '@opentelemetry/sdk-trace-node');
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'orders-app' }),
    spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter())],
  });
  const propagator = new core.W3CTraceContextPropagator();
  return {
    begin(metadata) {
      const parent = propagator.extract(api.ROOT_CONTEXT, metadata, api.defaultTextMapGetter);
      return provider.getTracer('app').startSpan('handle', {}, parent);
    },
  };
}

process.once('SIGTERM', () => console.log(JSON.stringify({ sigterm: Date.now(), name, events })));
const app = await NestFactory.createMicroservice(App, {
  transport: Transport.TCP, options: { host: HOST, port: Number(PORT) }, logger: ['error', 'warn'],
});
app.enableShutdownHooks();
await app.listen();
console.log(JSON.stringify({ listening: PORT, name }));
