/** How services ask each other: for one answer. The other's error becomes one's own, with its message and code. */
import { ClientProxy, RpcException } from '@nestjs/microservices';
import { catchError, firstValueFrom, throwError } from 'rxjs';

export function ask<Answer>(client: ClientProxy, pattern: object, data: object): Promise<Answer> {
  return firstValueFrom(
    client.send<Answer>(pattern, data).pipe(
      catchError(error => throwError(() => new RpcException(error instanceof Error ? error.message : error))),
    ),
  );
}
