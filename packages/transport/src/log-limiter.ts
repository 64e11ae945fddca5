/** Keeps what repeats itself (a refused peer dials again and again) from filling the log. */

const KEYS_MAX = 256;

export class LogLimiter {
  private readonly lastMs = new Map<string, { atMs: number; suppressed: number }>();

  constructor(private readonly intervalMs: number) {}

  /** Null: not now. Else how many lines with this key were left out since the last one. */
  pass(key: string): number | null {
    const nowMs = performance.now();
    const last = this.lastMs.get(key);
    if (last !== undefined && nowMs - last.atMs < this.intervalMs) {
      last.suppressed += 1;
      return null;
    }
    if (last === undefined && this.lastMs.size === KEYS_MAX) this.lastMs.clear();
    this.lastMs.set(key, { atMs: nowMs, suppressed: 0 });
    return last?.suppressed ?? 0;
  }
}
