/**
 * Takes orders: `prices` says what they cost, `stock` reserves what is in them.
 *
 * There is no database: every replica knows the same three orders, and forgets those that it takes.
 */
import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { ClientProxy, RpcException } from '@nestjs/microservices';
import { interval, map, Observable, take } from 'rxjs';
import { ask } from '../ask.js';
import { Line, Order, Price, Reservation } from '../messages.js';
import { handTraceOn } from '../tracing.js';

const KNOWN = new Map<number, Order>([
  [1, { id: 1, lines: [{ item: 'tea', quantity: 2 }], total: 8.5, grams: 200 }],
  [2, { id: 2, lines: [{ item: 'coffee', quantity: 1 }], total: 9.5, grams: 500 }],
  [3, { id: 3, lines: [{ item: 'cup', quantity: 4 }], total: 48, grams: 1240 }],
]);
const STATES = ['packed', 'sent', 'on its way', 'delivered'];
const PACE_MS = 500;

@Injectable()
export class OrdersService {
  constructor(
    @Inject('PRICES') private readonly prices: ClientProxy,
    @Inject('STOCK') private readonly stock: ClientProxy,
  ) {
    handTraceOn(prices, stock);
  }

  async create(lines: Line[]): Promise<Order> {
    const amounts = lines.map(async ({ item, quantity }) => {
      const { price } = await ask<Price>(this.prices, { cmd: 'price' }, { item });
      return price * quantity;
    });
    const total = (await Promise.all(amounts)).reduce((sum, each) => sum + each, 0);
    const { grams } = await ask<Reservation>(this.stock, { cmd: 'reserve' }, { lines });
    const order = { id: randomUUID(), lines, total, grams };
    this.stock.emit('order.created', order);
    return order;
  }

  find(id: number): Order {
    const order = KNOWN.get(id);
    if (!order) throw new RpcException(`there is no order ${id}`);
    return order;
  }

  watch(id: number): Observable<string> {
    this.find(id);
    return interval(PACE_MS).pipe(
      take(STATES.length),
      map(step => STATES[step]),
    );
  }
}
