/**
 * One order, one trace: the messages that are sent while a message is handled carry its trace context.
 *
 * Sidecars read and write `metadata.traceparent` of messages. An app has to do no more than hand it on.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { CallHandler, ExecutionContext, Injectable, NestInterceptor } from '@nestjs/common';
import { ClientProxy, TcpContext } from '@nestjs/microservices';
import { Observable } from 'rxjs';

const traceparent = new AsyncLocalStorage<string | undefined>();

/** Keeps the trace context of a message while it is handled, also in an Observable that a handler returns. */
@Injectable()
export class TracingInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const metadata = context.switchToRpc().getContext<TcpContext>().getMetadata();
    return new Observable(subscriber =>
      traceparent.run(metadata?.traceparent, () => next.handle().subscribe(subscriber)),
    );
  }
}

/** Lets clients put it into what they send meanwhile, requests and events alike. */
export function handTraceOn(...clients: ClientProxy[]) {
  for (const client of clients) {
    client.setOnDispatchHook(packet => {
      const current = traceparent.getStore();
      if (current) packet.metadata = { ...packet.metadata, traceparent: current };
    });
  }
}
