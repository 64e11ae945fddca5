/**
 * What the owner of a process does when it cannot go on, as kvd does (its StorageGuard): without space it reopens and
 * verifies the log with back-off, after any other failure it ends and is started again; one that was removed ends for good.
 */
import type { Replica, ReplicaFailure } from '@kvd/replica';
import { KvState, type OpenedDirectory, StoreError } from '@kvd/store';

const RECOVER_MIN_MS = 250;
const RECOVER_MAX_MS = 10_000;

/** The process, as far as its owner sees it. Nothing of this is called once it has ended. */
export interface GuardedProcess {
  readonly opened: OpenedDirectory;
  replica(): Replica | null;
  after(delayMs: number, run: () => void): void;
  say(what: string): void;
  /** Not from within the call that reports the failure. */
  exit(reason: string): void;
  /** It is no member any more. False: it died before it had noted that down. */
  removed(): boolean;
}

export class StorageGuard {
  private attempts = 0;

  constructor(private readonly process: GuardedProcess) {}

  onFailure(failure: ReplicaFailure): void {
    const { process } = this;
    switch (failure.kind) {
      case 'log':
        if (failure.error instanceof StoreError && failure.error.kind === 'no-space') this.recoverLater();
        else if (!(failure.error instanceof StoreError && failure.error.kind === 'closed'))
          process.exit('the log failed');
        return;
      case 'state':
        process.say(`the state failed: ${failure.error.message}`);
        return;
      case 'rolled-back':
        process.opened.condemnLog('a peer has heard a newer write from it');
        process.exit('the directory was rolled back');
        return;
      case 'removed':
        if (process.removed()) process.opened.noteRemoved('it was removed');
        process.exit('it was removed');
    }
  }

  scrub(): void {
    const { process } = this;
    const { opened } = process;
    if (opened.isNew || !(opened.state instanceof KvState)) return;
    opened.state.scrub((error) => {
      if (process.replica() === null || !(error instanceof StoreError) || error.kind !== 'damaged') return;
      opened.condemnState(error.message);
      process.exit(`the state is damaged: ${error.message}`);
    });
  }

  private recoverLater(): void {
    const { process } = this;
    const waitMs = Math.min(RECOVER_MAX_MS, RECOVER_MIN_MS * 2 ** this.attempts++);
    process.after(waitMs, () => {
      process.replica()?.recoverLog((error) => {
        if (error !== null) this.onFailure({ kind: 'log', error });
        else this.attempts = 0;
      });
    });
  }
}
