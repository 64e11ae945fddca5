/**
 * Stands between a replica and its stores to see what they do, for the metrics: writes, flushes, failures. Passes every
 * call on as it is; decides nothing and keeps nothing.
 */
import { performance } from 'node:perf_hooks';
import type { Persist, RecoveredLog, Slot, Value } from '@kvd/paxos';
import type { CommandResult, Entry, ScanPage, ScanRequest } from '@kvd/protocol';
import type { Done, LogStore, SnapshotInstaller, SnapshotReader, StateMachine } from '@kvd/replica';

export type StorePart = 'log' | 'state';

export interface StorageObserver {
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

export class ObservedState implements StateMachine {
  readonly #state: StateMachine;
  readonly #observer: StorageObserver;

  constructor(state: StateMachine, observer: StorageObserver) {
    this.#state = state;
    this.#observer = observer;
  }

  get appliedThrough(): Slot {
    return this.#state.appliedThrough;
  }
  get durableThrough(): Slot {
    return this.#state.durableThrough;
  }
  get revision(): number {
    return this.#state.revision;
  }
  get clusterMs(): number {
    return this.#state.clusterMs;
  }
  get stateHash(): string {
    return this.#state.stateHash;
  }
  get configurations(): StateMachine['configurations'] {
    return this.#state.configurations;
  }
  get dirtyKeys(): number {
    return this.#state.dirtyKeys;
  }

  prepare(value: Value, done: Done<void>): boolean {
    return this.#state.prepare(value, done);
  }

  apply(slot: Slot, value: Value): readonly CommandResult[] {
    return this.#state.apply(slot, value);
  }

  get(key: Uint8Array): Entry | null {
    return this.#state.get(key);
  }

  scan(request: ScanRequest, done: Done<ScanPage>): void {
    this.#state.scan(request, done);
  }

  freeze(): Slot {
    return this.#state.freeze();
  }

  writeFrozen(done: Done<void>): void {
    const began = performance.now();
    this.#state.writeFrozen((error) => {
      if (error === null) this.#observer.stateFlushed(secondsSince(began));
      else this.#observer.failed('state', error);
      done(error);
    });
  }

  openSnapshot(done: Done<SnapshotReader>): void {
    this.#state.openSnapshot(done);
  }

  createInstaller(): SnapshotInstaller {
    return this.#state.createInstaller();
  }

  reload(done: Done<void>): void {
    this.#state.reload((error) => {
      if (error !== null) this.#observer.failed('state', error);
      done(error);
    });
  }

  close(done: Done<void>): void {
    this.#state.close(done);
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
