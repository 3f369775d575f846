/** The caller `web`: it serves nobody, and places orders until it is told to stop. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { WebModule } from './web.module.js';

const app = await NestFactory.createApplicationContext(WebModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks([], { useProcessExit: true });
