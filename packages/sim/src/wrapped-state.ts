/** A state machine that passes everything on; what is built on it changes what it wants to change. */
import type { Slot, Value } from '@kvd/paxos';
import type { CommandResult, ScanPage, ScanRequest } from '@kvd/protocol';
import type { Done, SnapshotInstaller, SnapshotReader, StateMachine } from '@kvd/replica';

export class WrappedState implements StateMachine {
  constructor(protected readonly inner: StateMachine) {}

  get appliedThrough() {
    return this.inner.appliedThrough;
  }
  get durableThrough() {
    return this.inner.durableThrough;
  }
  get revision() {
    return this.inner.revision;
  }
  get clusterMs() {
    return this.inner.clusterMs;
  }
  get stateHash() {
    return this.inner.stateHash;
  }
  get configurations() {
    return this.inner.configurations;
  }
  get dirtyKeys() {
    return this.inner.dirtyKeys;
  }

  prepare(value: Value, done: Done<void>): boolean {
    return this.inner.prepare(value, done);
  }

  apply(slot: Slot, value: Value): readonly CommandResult[] {
    return this.inner.apply(slot, value);
  }

  get(key: Uint8Array) {
    return this.inner.get(key);
  }

  scan(request: ScanRequest, done: Done<ScanPage>): void {
    this.inner.scan(request, done);
  }

  freeze(): Slot {
    return this.inner.freeze();
  }

  writeFrozen(done: Done<void>): void {
    this.inner.writeFrozen(done);
  }

  openSnapshot(done: Done<SnapshotReader>): void {
    this.inner.openSnapshot(done);
  }

  createInstaller(): SnapshotInstaller {
    return this.inner.createInstaller();
  }

  reload(done: Done<void>): void {
    this.inner.reload(done);
  }

  close(done: Done<void>): void {
    this.inner.close(done);
  }
}
