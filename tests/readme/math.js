// The app of one's own of the README, in JavaScript: a NestJS microservice that sums.
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Transport } from '@nestjs/microservices';

class MathController {
  sum(numbers) {
    return numbers.reduce((total, each) => total + each, 0);
  }
}
Controller()(MathController);
MessagePattern({ cmd: 'sum' })(MathController.prototype, 'sum', Object.getOwnPropertyDescriptor(MathController.prototype, 'sum'));

class AppModule {}
Module({ controllers: [MathController] })(AppModule);

const app = await NestFactory.createMicroservice(AppModule, {
  transport: Transport.TCP,
  options: { host: '0.0.0.0', port: Number(process.env.PORT ?? 3001) },
  logger: ['error', 'warn'],
});
await app.listen();
