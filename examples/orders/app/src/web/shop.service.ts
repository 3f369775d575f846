/** Places RATE orders per second, whether or not earlier ones were answered, and prints now and then how it went. */
import { BeforeApplicationShutdown, Inject, Injectable, OnApplicationBootstrap } from '@nestjs/common';
import { ClientProxy } from '@nestjs/microservices';
import {
  catchError,
  EMPTY,
  interval,
  lastValueFrom,
  mergeMap,
  Observable,
  retry,
  Subject,
  takeUntil,
  tap,
  timeout,
} from 'rxjs';
import { Answered } from '../messages.js';
import { Tally } from './tally.js';

const RATE = Number(process.env.RATE ?? 5);
const PATIENCE_MS = 5000;
const RETRY_MS = 500;
const REPORT_MS = 3000;
const BASKET = {
  lines: [
    { item: 'tea', quantity: 2 },
    { item: 'cup', quantity: 1 },
  ],
};

@Injectable()
export class ShopService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly tally = new Tally();
  private readonly closing = new Subject<void>();
  private shopping?: Promise<unknown>;

  constructor(@Inject('ORDERS') private readonly orders: ClientProxy) {}

  onApplicationBootstrap() {
    const begun = this.create().pipe(retry({ delay: RETRY_MS })); // the services may still be starting
    const placed = begun.pipe(
      mergeMap(() => interval(1000 / RATE)),
      takeUntil(this.closing),
      mergeMap(() => this.place()),
    );
    this.shopping = lastValueFrom(placed, { defaultValue: undefined });
    interval(REPORT_MS)
      .pipe(takeUntil(this.closing))
      .subscribe(() => this.tally.print());
  }

  async beforeApplicationShutdown() {
    this.closing.next();
    await this.shopping;
    this.tally.print();
  }

  private create(): Observable<Answered> {
    return this.orders.send<Answered>({ cmd: 'create' }, BASKET).pipe(timeout(PATIENCE_MS));
  }

  private place(): Observable<Answered> {
    const began = performance.now();
    this.tally.sent += 1;
    return this.create().pipe(
      tap(order => this.tally.answer(order.replica, performance.now() - began)),
      catchError(error => {
        this.tally.fail(error);
        return EMPTY;
      }),
    );
  }
}
