/** What ends a command that goes on until it is told: SIGINT, SIGTERM, SIGHUP, or the shell that it runs in. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type StopSignal = (typeof SIGNALS)[number];

/** Listens from its making to its end(); meanwhile the signals do not end the process by themselves. */
export class Stop {
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private stoppedBy: StopSignal | null = null;
  private readonly onSignal = (name: NodeJS.Signals): void => this.stop(name as StopSignal);
  private readonly onParent = (): void => this.stop('SIGINT');

  constructor(private readonly parent?: AbortSignal) {
    this.signal = this.controller.signal;
    for (const name of SIGNALS) process.on(name, this.onSignal);
    if (parent?.aborted) this.onParent();
    parent?.addEventListener('abort', this.onParent);
  }

  /** What it was stopped by first; null: it was not. */
  get by(): StopSignal | null {
    return this.stoppedBy;
  }

  /** As a shell tells it: 128 and the number of the signal. */
  get exitCode(): number {
    return exitCodeOfSignal(this.stoppedBy ?? 'SIGINT');
  }

  end(): void {
    for (const name of SIGNALS) process.off(name, this.onSignal);
    this.parent?.removeEventListener('abort', this.onParent);
  }

  private stop(name: StopSignal): void {
    this.stoppedBy ??= name;
    this.controller.abort();
  }
}

export function exitCodeOfSignal(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/** For work that knows no signal, and only asks: it goes on, and nobody waits for it. @throws Error when the signal fires first */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const aborted = anyAborted(signal).then(() => {
    throw new Error('interrupted');
  });
  return Promise.race([work, aborted]);
}

/** Resolves when any of them fires. */
export function anyAborted(...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const all = AbortSignal.any([...signals]);
    if (all.aborted) resolve();
    else all.addEventListener('abort', () => resolve(), { once: true });
  });
}
