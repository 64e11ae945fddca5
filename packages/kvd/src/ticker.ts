/**
 * Time, for the replica: a tick every tickMs. While it is quiet two ticks come together, every other time: each wake-up of
 * a process that has nothing to do costs a fraction of a millisecond.
 */
import type { ReplicaApi } from '@kvd/replica';

/** Is told with every firing how long ago the last one was meant to be. */
export interface TickMeter {
  look(dueMs: number): void;
}

export class Ticker {
  readonly #tickMs: number;
  readonly #replica: Pick<ReplicaApi, 'tick' | 'isQuiet'>;
  readonly #meters: readonly TickMeter[];
  #timer: NodeJS.Timeout | null = null;

  constructor(tickMs: number, replica: Pick<ReplicaApi, 'tick' | 'isQuiet'>, meters: readonly TickMeter[]) {
    this.#tickMs = tickMs;
    this.#replica = replica;
    this.#meters = meters;
  }

  start(): void {
    const isQuiet = this.#replica.isQuiet;
    const dueMs = (isQuiet ? 2 : 1) * this.#tickMs;
    // After a stall of the process time goes on from here, it is not caught up with.
    this.#timer = setTimeout(() => {
      for (const meter of this.#meters) meter.look(dueMs);
      // For who came meanwhile no time has passed before.
      const ticks = isQuiet && this.#replica.isQuiet ? 2 : 1;
      this.start();
      for (let i = 0; i < ticks; i += 1) this.#replica.tick(Date.now());
    }, dueMs);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
