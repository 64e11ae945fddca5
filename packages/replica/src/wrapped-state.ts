/** A state machine that passes everything on; what is built on it changes what it wants to change. */
import type { Slot, Value } from '@kvd/paxos';
import type {
  ClusterMs,
  CommandResult,
  Entry,
  GetRequest,
  HistoryPage,
  LeaseId,
  LeasesPage,
  LeasesRequest,
  RevisionEvents,
  ScanPage,
  ScanRequest,
} from '@kvd/protocol';
import type { Done, HistoryQuery, SnapshotInstaller, SnapshotReader, StateMachine } from './ports.js';

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
  get leader() {
    return this.inner.leader;
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

  get dirtyBytes() {
    return this.inner.dirtyBytes;
  }
  get compactRevision() {
    return this.inner.compactRevision;
  }
  get retention() {
    return this.inner.retention;
  }

  prepare(value: Value, done: Done<void>): boolean {
    return this.inner.prepare(value, done);
  }

  apply(slot: Slot, value: Value): readonly CommandResult[] {
    return this.inner.apply(slot, value);
  }

  takeRevisions(): readonly RevisionEvents[] {
    return this.inner.takeRevisions();
  }

  watchRevisions(wanted: boolean): void {
    this.inner.watchRevisions(wanted);
  }

  dueLeases(nowMs: ClusterMs, max: number): readonly LeaseId[] {
    return this.inner.dueLeases(nowMs, max);
  }

  get(key: Uint8Array): Entry | null {
    return this.inner.get(key);
  }

  getAt(request: GetRequest, done: Done<Entry | null>): void {
    this.inner.getAt(request, done);
  }

  history(query: HistoryQuery, done: Done<HistoryPage>): void {
    this.inner.history(query, done);
  }

  leases(request: LeasesRequest): LeasesPage {
    return this.inner.leases(request);
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
