/**
 * How late the event loop gets to what is due, by the ticks of the daemon: perf_hooks.monitorEventLoopDelay has a timer
 * of its own, and would wake a process that has nothing to do.
 */
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks';

const NANOSECONDS_A_MS = 1e6;
const NANOSECONDS = 1e9;

/** Seconds; all 0 where there was no tick. */
export interface LagSeconds {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export class LoopLag {
  readonly #histogram: RecordableHistogram = createHistogram();
  #lookedAtMs: number;

  constructor(nowMs = performance.now()) {
    this.#lookedAtMs = nowMs;
  }

  /** To be called `dueMs` after the last time; `nowMs` as performance.now(). */
  look(dueMs: number, nowMs = performance.now()): void {
    const lateMs = nowMs - this.#lookedAtMs - dueMs;
    this.#lookedAtMs = nowMs;
    this.#histogram.record(Math.max(1, Math.round(lateMs * NANOSECONDS_A_MS)));
  }

  /** Since it was taken last. */
  take(): LagSeconds {
    const histogram = this.#histogram;
    if (histogram.count === 0) return { p50: 0, p99: 0, max: 0 };
    const [p50, p99] = [histogram.percentile(50) / NANOSECONDS, histogram.percentile(99) / NANOSECONDS];
    const max = histogram.max / NANOSECONDS;
    histogram.reset();
    return { p50, p99, max };
  }
}
