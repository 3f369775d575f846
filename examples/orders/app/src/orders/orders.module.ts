/** What `orders` is made of, and where it finds the services that it asks. */
import { Module } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { TracingInterceptor } from '../tracing.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';

@Module({
  imports: [
    ClientsModule.register([
      {
        name: 'PRICES',
        transport: Transport.TCP,
        options: {
          host: process.env.PRICES_SERVICE_HOST ?? 'prices',
          port: Number(process.env.PRICES_SERVICE_PORT ?? 3002),
        },
      },
      {
        name: 'STOCK',
        transport: Transport.TCP,
        options: {
          host: process.env.STOCK_SERVICE_HOST ?? 'stock',
          port: Number(process.env.STOCK_SERVICE_PORT ?? 3003),
        },
      },
    ]),
  ],
  controllers: [OrdersController],
  providers: [OrdersService, { provide: APP_INTERCEPTOR, useClass: TracingInterceptor }],
})
export class OrdersModule {}
