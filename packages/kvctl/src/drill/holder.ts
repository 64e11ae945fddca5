/** A process that wants a lock (lock-holder.ts), as the drill that started it sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { HolderTold } from './lock-holder.js';

const PROGRAM = fileURLToPath(new URL('./lock-holder.js', import.meta.url));
const TOLD_MS_MAX = 30_000;
/** So many make sure that it has the lock and is served. */
const WRITES = 3;

export interface LockSetting {
  readonly name: string;
  /** What is written by whoever has it. */
  readonly key: string;
  readonly ttlMs: number;
}

export interface Refusal {
  /** What its client told it. */
  readonly code: string;
  /** Did the cluster take the write that was sent all the same? */
  readonly accepted: boolean;
}

export class Holder {
  private readonly child: ChildProcess;
  /** Since the last call of writes() or acquire(). */
  private written = 0;
  private refused: Refusal | null = null;
  private onTold: () => void = () => undefined;

  constructor(
    readonly name: string,
    endpoints: readonly string[],
    { name: lock, key, ttlMs }: LockSetting,
  ) {
    this.child = fork(PROGRAM, [endpoints.join(','), lock, key, String(ttlMs)], { stdio: 'inherit' });
    process.prependOnceListener('exit', this.killNow);
    this.child.on('message', (told: HolderTold) => {
      if (told.type === 'wrote') this.written += 1;
      else this.refused = told;
      this.onTold();
    });
    this.child.on('exit', () => this.onTold());
  }

  /** Stand in the queue, and write from then on. */
  acquire(): void {
    this.written = 0;
    this.refused = null;
    this.child.send('acquire');
  }

  /** Until it has the lock and has written some more; again when it lost it, as on a machine that is too busy. */
  async writes(): Promise<void> {
    this.written = 0;
    for (;;) {
      await this.until('writes', () => this.written >= WRITES || this.refused !== null);
      if (this.refused === null) return;
      this.acquire();
    }
  }

  /** Until it was told that it has lost the lock. */
  async refusal(): Promise<Refusal> {
    await this.until('is refused', () => this.refused !== null);
    return this.refused ?? { code: '', accepted: false };
  }

  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** Its lock is free when its lease is over. */
  async kill(): Promise<void> {
    process.removeListener('exit', this.killNow);
    if (this.hasEnded) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  private get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private readonly killNow = (): void => {
    this.child.kill('SIGKILL');
  };

  private async until(what: string, isSo: () => boolean): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.onTold();
    }, TOLD_MS_MAX);
    try {
      while (!isSo()) {
        if (this.hasEnded) throw new Error(`holder ${this.name} ended by itself`);
        if (isLate) throw new Error(`waited ${TOLD_MS_MAX} ms in vain until holder ${this.name} ${what}`);
        await new Promise<void>((resolve) => {
          this.onTold = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
