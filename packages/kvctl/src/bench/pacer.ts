/**
 * When operations begin. A lane, which does one operation after the other, asks for the start of its next one; null: there
 * is none. Time comes in from outside.
 */

export interface Bounds {
  /** When the load begins: first the warm-up. */
  readonly beginMs: number;
  /** When the measurement begins. */
  readonly measureMs: number;
  /** Nothing begins from then on; Infinity: `count` alone ends it. */
  readonly endMs: number;
  /** So many operations begin after the warm-up; Infinity: time alone ends it. */
  readonly count: number;
}

export interface Pacer {
  /** From when on the operation's latency counts. */
  take(): number | null | Promise<number | null>;
  /** Nothing begins any more. */
  stop(): void;
  /** Operations that were due and did not begin in time, because all lanes were busy. */
  readonly skipped: number;
}

/** Each lane begins its next operation as soon as the one before has ended. */
export class ClosedLoop implements Pacer {
  readonly skipped = 0;
  private left: number;
  private stopped = false;

  constructor(
    private readonly bounds: Bounds,
    private readonly now: () => number,
  ) {
    this.left = bounds.count;
  }

  take(): number | null {
    const nowMs = this.now();
    if (this.stopped || nowMs >= this.bounds.endMs) return null;
    if (nowMs >= this.bounds.measureMs && this.left-- <= 0) return null;
    return nowMs;
  }

  stop(): void {
    this.stopped = true;
  }
}

/**
 * Operations begin at a rate, whatever became of those before. One that begins late, because all lanes were busy, has the
 * start that it should have had: else a slow system would delay what is to show its slowness. (Coordinated omission; as in
 * wrk2 and YCSB's intended latencies.)
 */
export class OpenLoop implements Pacer {
  private readonly intervalMs: number;
  /** The number of the operation that is given away next. */
  private next = 0;
  /** Those after the warm-up. */
  private left: number;
  private begun = 0;
  /** No operation is due from then on. */
  private endMs: number;
  private readonly idle: { readonly dueMs: number; readonly wake: (startMs: number | null) => void }[] = [];

  constructor(
    private readonly bounds: Bounds,
    perSecond: number,
    private readonly now: () => number,
  ) {
    this.intervalMs = 1000 / perSecond;
    this.endMs = bounds.endMs;
    this.left = bounds.count;
  }

  take(): number | null | Promise<number | null> {
    const dueMs = this.bounds.beginMs + this.next * this.intervalMs;
    const nowMs = this.now();
    if (dueMs >= this.endMs || nowMs >= this.endMs) return null;
    if (dueMs >= this.bounds.measureMs && this.left-- <= 0) {
      this.endMs = dueMs;
      return null;
    }
    this.next++;
    if (dueMs <= nowMs) {
      this.begun++;
      return dueMs;
    }
    return new Promise((wake) => {
      this.idle.push({ dueMs, wake });
    });
  }

  /** Time has passed: idle lanes begin what is due. */
  tick(): void {
    const nowMs = this.now();
    let due = 0;
    for (const { dueMs, wake } of this.idle) {
      if (dueMs > nowMs) break;
      this.begun++;
      due++;
      wake(dueMs);
    }
    if (due > 0) this.idle.splice(0, due);
  }

  stop(): void {
    this.endMs = Math.min(this.endMs, this.now());
    for (const { wake } of this.idle.splice(0)) wake(null);
  }

  get skipped(): number {
    const untilMs = Math.min(this.endMs, this.now());
    // A sum of fractions may be a hair more than it should.
    const due = Math.ceil((untilMs - this.bounds.beginMs) / this.intervalMs - 1e-6);
    return Math.max(0, due - this.begun);
  }
}
