/** The service `prices`, a NestJS microservice over TCP. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MicroserviceOptions, Transport } from '@nestjs/microservices';
import { PricesModule } from './prices.module.js';

const app = await NestFactory.createMicroservice<MicroserviceOptions>(PricesModule, {
  transport: Transport.TCP,
  options: { host: '0.0.0.0', port: Number(process.env.PORT ?? 3002) },
  logger: ['error', 'warn'],
});
app.enableShutdownHooks();
await app.listen();
