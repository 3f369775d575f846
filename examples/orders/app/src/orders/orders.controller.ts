/** The messages of `orders`; each answer says which replica gave it. */
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { map, Observable } from 'rxjs';
import { Answered, Line, Progress } from '../messages.js';
import { OrdersService } from './orders.service.js';

const replica = process.env.HOSTNAME ?? 'orders';

@Controller()
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @MessagePattern({ cmd: 'create' })
  async create(@Payload('lines') lines: Line[]): Promise<Answered> {
    return { ...(await this.orders.create(lines)), replica };
  }

  @MessagePattern({ cmd: 'find' })
  find(@Payload('id') id: number): Answered {
    return { ...this.orders.find(id), replica };
  }

  @MessagePattern('order.watch')
  watch(@Payload('id') id: number): Observable<Progress> {
    return this.orders.watch(id).pipe(map(state => ({ id, state, replica })));
  }
}
