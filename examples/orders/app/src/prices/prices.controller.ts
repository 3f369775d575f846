/** What an item costs and weighs; the same question has the same answer, on every replica. */
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Price } from '../messages.js';

const PRICES = new Map<string, Price>([
  ['coffee', { item: 'coffee', price: 9.5, grams: 500 }],
  ['cup', { item: 'cup', price: 12, grams: 310 }],
  ['tea', { item: 'tea', price: 4.25, grams: 100 }],
]);

@Controller()
export class PricesController {
  @MessagePattern({ cmd: 'price' })
  price(@Payload('item') item: string): Price {
    const price = PRICES.get(item);
    if (!price) throw new RpcException(`there is no item ${item}`);
    return price;
  }
}
