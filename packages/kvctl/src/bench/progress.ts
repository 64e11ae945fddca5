/** How far a run is, on a terminal: a bar for each of its phases. Elsewhere nothing. */
import { SingleBar } from 'cli-progress';

const UPDATE_MS = 200;

/** How much is done, of how much. */
export interface Phase {
  readonly name: string;
  readonly total: number;
  readonly done: () => number;
  /** What counts for the rate. */
  readonly operations: () => number;
  readonly failures: () => number;
}

export class Progress {
  private bar: SingleBar | null = null;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly stderr: NodeJS.WriteStream = process.stderr) {}

  begin(phase: Phase): void {
    this.end();
    if (!this.stderr.isTTY) return;
    const { name, total } = phase;
    const bar = new SingleBar({
      stream: this.stderr,
      format: `{name} [{bar}] {percentage}% {rate} a second{errors}`,
      clearOnComplete: true,
      hideCursor: true,
    });
    bar.start(total, 0, { name, rate: 0, errors: '' });
    let before = { operations: phase.operations(), ms: performance.now() };
    this.timer = setInterval(() => {
      const now = { operations: phase.operations(), ms: performance.now() };
      const rate = Math.round(((now.operations - before.operations) * 1000) / (now.ms - before.ms));
      before = now;
      const failures = phase.failures();
      const errors = failures === 0 ? '' : `, ${failures.toLocaleString('en')} errors`;
      bar.update(Math.min(total, phase.done()), { rate: rate.toLocaleString('en'), errors });
    }, UPDATE_MS);
    this.bar = bar;
  }

  end(): void {
    clearInterval(this.timer);
    this.bar?.stop();
    this.bar = null;
  }
}
