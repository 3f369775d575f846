/**
 * One replica of the demo's service `orders`: a plain NestJS microservice that knows nothing of a sidecar.
 *
 * PORT says where to listen (0: anywhere), NAME what the replica calls itself. Prints {"listening": PORT} when ready.
 */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload, ServerTCP } from '@nestjs/microservices';

const { PORT = '0', NAME = 'orders' } = process.env;

class Orders {
  async price(order) {
    await new Promise(resolve => setTimeout(resolve, 5));
    return { replica: NAME, total: order.quantity * 3 };
  }
}
Payload()(Orders.prototype, 'price', 0);
MessagePattern({ cmd: 'price' })(Orders.prototype, 'price', Object.getOwnPropertyDescriptor(Orders.prototype, 'price'));
Controller()(Orders);

class App {}
Module({ controllers: [Orders] })(App);

const transport = new ServerTCP({ host: '127.0.0.1', port: PORT });
const app = await NestFactory.createMicroservice(App, { strategy: transport, logger: false });
await app.listen();
console.log(JSON.stringify({ listening: transport.server.address().port }));
process.stdin.resume().on('end', () => process.exit(0));
