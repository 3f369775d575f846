/** What `web` is made of, and where it finds `orders`. */
import { Module } from '@nestjs/common';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { ShopService } from './shop.service.js';

@Module({
  imports: [
    ClientsModule.register([
      {
        name: 'ORDERS',
        transport: Transport.TCP,
        options: {
          host: process.env.ORDERS_SERVICE_HOST ?? 'orders',
          port: Number(process.env.ORDERS_SERVICE_PORT ?? 3001),
        },
      },
    ]),
  ],
  providers: [ShopService],
})
export class WebModule {}
