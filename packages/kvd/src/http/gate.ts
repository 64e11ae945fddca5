/** Lets so many exchanges in at once, and the others in the order in which they came. */
import { KvdError } from '@kvd/protocol';
import type { Exchange } from './line.js';

export class Gate {
  #inside = 0;
  readonly #waiting = new Set<() => void>();

  constructor(
    private readonly room: number,
    private readonly waitMs: number,
  ) {}

  /** Until there is room, which is the exchange's until it is over. @throws KvdError KVD_OVERLOADED after waitMs */
  async enter(exchange: Exchange): Promise<void> {
    if (this.#inside < this.room) this.#inside += 1;
    else await this.#wait();
    exchange.whenOver(() => this.#leave());
  }

  #wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      const letIn = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(letIn);
        reject(new KvdError('KVD_OVERLOADED', `more than ${this.room} scans and histories at once`));
      }, this.waitMs);
      this.#waiting.add(letIn);
    });
  }

  /** The room goes to who has waited longest. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inside -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
