/**
 * Stands between a replica and its stores to see what they do, for the metrics: writes, flushes, failures. Passes every
 * call on as it is; decides nothing and keeps nothing.
 */
import { performance } from 'node:perf_hooks';
import type { Persist, RecoveredLog } from '@kvd/paxos';
import { type Done, type LogStore, type StateMachine, WrappedState } from '@kvd/replica';

export type StorePart = 'log' | 'state';

export interface StorageObserver {
  /** A write of the log begins; logWritten or failed follows. */
  logWriting(): void;
  logWritten(entries: number, bytes: number, seconds: number): void;
  stateFlushed(seconds: number): void;
  failed(part: StorePart, error: Error): void;
}

export class ObservedLog implements LogStore {
  readonly #log: LogStore;
  readonly #observer: StorageObserver;

  constructor(log: LogStore, observer: StorageObserver) {
    this.#log = log;
    this.#observer = observer;
  }

  get recovered(): RecoveredLog {
    return this.#log.recovered;
  }

  write(batch: Persist, done: Done<number>): void {
    const began = performance.now();
    this.#observer.logWriting();
    this.#log.write(batch, (error, marker) => {
      if (error === null)
        this.#observer.logWritten(batch.entries.length, valueBytes(batch), secondsSince(began));
      else this.#observer.failed('log', error);
      done(error, marker);
    });
  }

  read(...args: Parameters<LogStore['read']>): void {
    this.#log.read(...args);
  }

  reload(done: Done<RecoveredLog>): void {
    this.#log.reload((error, recovered) => {
      if (error !== null) this.#observer.failed('log', error);
      done(error, recovered);
    });
  }

  close(done: Done<void>): void {
    this.#log.close(done);
  }
}

export class ObservedState extends WrappedState {
  readonly #observer: StorageObserver;

  constructor(state: StateMachine, observer: StorageObserver) {
    super(state);
    this.#observer = observer;
  }

  override writeFrozen(done: Done<void>): void {
    const began = performance.now();
    super.writeFrozen((error) => {
      if (error === null) this.#observer.stateFlushed(secondsSince(began));
      else this.#observer.failed('state', error);
      done(error);
    });
  }

  override reload(done: Done<void>): void {
    super.reload((error) => {
      if (error !== null) this.#observer.failed('state', error);
      done(error);
    });
  }
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1e3;
}

function valueBytes(batch: Persist): number {
  let bytes = 0;
  for (const { value } of batch.entries) if (value.type === 'batch') bytes += value.bytes.length;
  return bytes;
}
