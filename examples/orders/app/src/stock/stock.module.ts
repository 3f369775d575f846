/** What `stock` is made of, and where it finds the service that it asks. */
import { Module } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { TracingInterceptor } from '../tracing.js';
import { StockController } from './stock.controller.js';

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
    ]),
  ],
  controllers: [StockController],
  providers: [{ provide: APP_INTERCEPTOR, useClass: TracingInterceptor }],
})
export class StockModule {}
