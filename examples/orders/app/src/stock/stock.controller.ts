/** Reserves what is ordered, and packs what was; each replica counts what it has packed. */
import { Controller, Inject } from '@nestjs/common';
import { ClientProxy, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { ask } from '../ask.js';
import { Line, Order, Price, Reservation } from '../messages.js';
import { handTraceOn } from '../tracing.js';

const replica = process.env.HOSTNAME ?? 'stock';

@Controller()
export class StockController {
  private orders = 0;
  private grams = 0;

  constructor(@Inject('PRICES') private readonly prices: ClientProxy) {
    handTraceOn(prices);
  }

  @MessagePattern({ cmd: 'reserve' })
  async reserve(@Payload('lines') lines: Line[]): Promise<Reservation> {
    const weights = lines.map(async ({ item, quantity }) => {
      const { grams } = await ask<Price>(this.prices, { cmd: 'price' }, { item });
      return grams * quantity;
    });
    const grams = (await Promise.all(weights)).reduce((sum, each) => sum + each, 0);
    return { grams, replica };
  }

  @EventPattern('order.created')
  pack(@Payload() order: Order) {
    this.orders += 1;
    this.grams += order.grams;
  }

  @MessagePattern({ cmd: 'packed' })
  packed() {
    return { orders: this.orders, grams: this.grams, replica };
  }
}
