/** How far a campaign is: a bar that moves on a terminal, a line now and then elsewhere. */
import { performance } from 'node:perf_hooks';

const BAR_WIDTH = 30;
const TERMINAL_EVERY_MS = 100;
const LINE_EVERY_MS = 10_000;

export interface ProgressOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Progress {
  private done = 0;
  private unsafe = 0;
  private stuck = 0;
  private readonly beganMs = performance.now();
  private shownMs = performance.now();

  constructor(
    private readonly count: number,
    private readonly output: ProgressOutput,
  ) {}

  add(violation: 'safety' | 'liveness' | null): void {
    this.done += 1;
    if (violation === 'safety') this.unsafe += 1;
    if (violation === 'liveness') this.stuck += 1;
    const nowMs = performance.now();
    if (nowMs - this.shownMs < (this.output.isTTY ? TERMINAL_EVERY_MS : LINE_EVERY_MS)) return;
    this.shownMs = nowMs;
    this.output.write(this.output.isTTY ? `\r${this.bar()} ${this.text()}` : `${this.text()}\n`);
  }

  /** Before something else is written. */
  clear(): void {
    if (this.output.isTTY) this.output.write('\r\u001b[K');
  }

  end(): void {
    this.clear();
    this.output.write(`${this.text()}\n`);
  }

  private bar(): string {
    const full = Math.floor((BAR_WIDTH * this.done) / this.count);
    return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
  }

  private text(): string {
    const seconds = (performance.now() - this.beganMs) / 1000;
    const rate = this.done / Math.max(seconds, 0.001);
    return `${this.done} of ${this.count} seeds, ${rate.toFixed(1)} a second, ${this.unsafe} unsafe, ${this.stuck} did not come round`;
  }
}
