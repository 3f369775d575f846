/** How the orders went so far; `slowest` in milliseconds, `reason` of the last that failed. */
import { TimeoutError } from 'rxjs';

export class Tally {
  sent = 0;
  private readonly answered: Record<string, number> = {};
  private failed = 0;
  private hung = 0;
  private slowest = 0;
  private reason = '';

  answer(replica: string, ms: number) {
    this.answered[replica] = (this.answered[replica] ?? 0) + 1;
    this.slowest = Math.max(this.slowest, Math.round(ms));
  }

  fail(error: Error) {
    if (error instanceof TimeoutError) {
      this.hung += 1;
    } else {
      this.failed += 1;
      this.reason = error.message;
    }
  }

  print() {
    console.log(JSON.stringify(this));
  }
}
