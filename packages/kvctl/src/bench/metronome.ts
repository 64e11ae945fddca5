/**
 * Ticks closer together than the timers of Node.js, which know whole milliseconds only: a put takes about one, and half of
 * one on average would be added to every latency of an open loop. A thread that sleeps exactly costs less than a loop that
 * never sleeps.
 */
import { Worker } from 'node:worker_threads';

/** More often would cost more than it tells. */
const PERIOD_MS_MIN = 0.25;

/** Words of the memory that is shared with the thread. */
export const STOPPED = 0;
export const TICK_UNDER_WAY = 1;

export interface MetronomePlan {
  readonly state: Int32Array;
  /** On the clock of hrtimeMs(), which is the same in all threads. */
  readonly firstMs: number;
  readonly periodMs: number;
}

export class Metronome {
  private readonly state = new Int32Array(new SharedArrayBuffer(8));
  private readonly thread: Worker;

  /** Ticks at `beginMs` of performance.now() and then at every `intervalMs`, or as many of those as pay. */
  constructor(beginMs: number, intervalMs: number, onTick: () => void) {
    const plan: MetronomePlan = {
      state: this.state,
      firstMs: beginMs - performance.now() + hrtimeMs(),
      periodMs: intervalMs * Math.max(1, Math.ceil(PERIOD_MS_MIN / intervalMs)),
    };
    this.thread = new Worker(new URL('./metronome-thread.js', import.meta.url), { workerData: plan });
    this.thread.on('message', () => {
      Atomics.store(this.state, TICK_UNDER_WAY, 0);
      onTick();
    });
  }

  async stop(): Promise<void> {
    Atomics.store(this.state, STOPPED, 1);
    Atomics.notify(this.state, STOPPED);
    await this.thread.terminate();
  }
}

export function hrtimeMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
