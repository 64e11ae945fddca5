/** A state machine that reports what it applies and loads to the judges, and otherwise does what the real one does. */
import type { Slot, Value } from '@kvd/paxos';
import type { CommandResult } from '@kvd/protocol';
import type { Done, SnapshotInstaller, StateMachine } from '@kvd/replica';
import { WrappedState } from '@kvd/replica';

export interface StateObserver {
  /** Before the slot is applied. */
  applying(slot: Slot, value: Value): void;
  applied(slot: Slot, value: Value, results: readonly CommandResult[], state: StateMachine): void;
  /** The state was read from disk or came with a snapshot. */
  loaded(state: StateMachine): void;
  /** It was a snapshot; called after `loaded`. */
  installed(slot: Slot): void;
}

export class WatchedState extends WrappedState {
  constructor(
    inner: StateMachine,
    private readonly observer: StateObserver,
  ) {
    super(inner);
    observer.loaded(inner);
  }

  override apply(slot: Slot, value: Value): readonly CommandResult[] {
    this.observer.applying(slot, value);
    const results = this.inner.apply(slot, value);
    this.observer.applied(slot, value, results, this.inner);
    return results;
  }

  override createInstaller(): SnapshotInstaller {
    const installer = this.inner.createInstaller();
    return {
      write: (records, done) => installer.write(records, done),
      finish: (slot, done) =>
        installer.finish(
          slot,
          this.thenLoaded((error, result) => {
            if (error === null) this.observer.installed(slot);
            done(error, result);
          }),
        ),
      abort: () => installer.abort(),
    };
  }

  override reload(done: Done<void>): void {
    this.inner.reload(this.thenLoaded(done));
  }

  private thenLoaded(done: Done<void>): Done<void> {
    return (error) => {
      if (error === null) this.observer.loaded(this.inner);
      done(error, undefined);
    };
  }
}
