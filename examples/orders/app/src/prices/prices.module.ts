/** What `prices` is made of: it answers, and asks nobody. */
import { Module } from '@nestjs/common';
import { PricesController } from './prices.controller.js';

@Module({ controllers: [PricesController] })
export class PricesModule {}
