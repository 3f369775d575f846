/** The service `stock`, a NestJS microservice over TCP. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MicroserviceOptions, Transport } from '@nestjs/microservices';
import { StockModule } from './stock.module.js';

const app = await NestFactory.createMicroservice<MicroserviceOptions>(StockModule, {
  transport: Transport.TCP,
  options: { host: '0.0.0.0', port: Number(process.env.PORT ?? 3003) },
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
await app.listen();
