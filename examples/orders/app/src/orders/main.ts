/** The service `orders`, a NestJS microservice over TCP. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MicroserviceOptions, Transport } from '@nestjs/microservices';
import { OrdersModule } from './orders.module.js';

const app = await NestFactory.createMicroservice<MicroserviceOptions>(OrdersModule, {
  transport: Transport.TCP,
  options: { host: '0.0.0.0', port: Number(process.env.PORT ?? 3001) },
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
await app.listen();
