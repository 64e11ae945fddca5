/**
 * The state machine of a witness, which keeps no state: it votes, and what it voted for is in its log (MEMBERSHIP.md,
 * "Witnesses"). Applying a slot is to pass it by; how far that went is on disk when the log's mark says so, and what the
 * log forgot in a crash was never passed by here.
 *
 * It must never claim to know more than its log does: a replica whose state is ahead of its log cuts the log up to there,
 * and a witness would cut what nobody else may have.
 */
import type { ConfigurationAt, Slot, Value } from '@kvd/paxos';
import {
  type CommandResult,
  decodeBatch,
  type Entry,
  type GetRequest,
  type HistoryPage,
  KvdError,
  type LeaseId,
  type LeasesPage,
  NO_LEADER,
  type RevisionEvents,
  type ScanPage,
  type ScanRequest,
} from '@kvd/protocol';
import type { Done, HistoryQuery, SnapshotInstaller, SnapshotReader, StateMachine } from '@kvd/replica';
import { errorResult } from './batches.js';
import { addConfiguration, trimConfigurations } from './configurations.js';
import { damaged, StoreError } from './errors.js';
import type { DurableMark } from './log-store.js';

/** What it needs of its log. */
export interface WitnessLog {
  readonly durable: DurableMark;
  /** Later, and never once the process died. */
  defer(task: () => void): void;
}

const NO_STATE = 'a witness keeps no state';
const NO_RESULT = errorResult('KVD_UNAVAILABLE', NO_STATE);

export class WitnessState implements StateMachine {
  readonly revision = 0;
  readonly clusterMs = 0;
  readonly leader = NO_LEADER;
  readonly stateHash = '';
  readonly dirtyKeys = 0;
  readonly dirtyBytes = 0;
  readonly compactRevision = 0;
  readonly retention = { keepRevisions: 0, keepMs: 0 };
  appliedThrough: Slot;
  private readonly log: WitnessLog;
  /** Configurations applied, as far as the log may not have them on disk yet. */
  private recent: ConfigurationAt[] = [];
  /** Counts the reloads: an install begun before is void. */
  private life = 0;

  constructor(log: WitnessLog) {
    this.log = log;
    this.appliedThrough = log.durable.chosenThrough;
  }

  /** There is nothing to flush, but what is not on disk in the log is nowhere on disk. */
  get durableThrough(): Slot {
    return Math.min(this.appliedThrough, this.log.durable.chosenThrough);
  }

  /** The log's, and what was applied since its last write. After an install they are there once the log has them. */
  get configurations(): readonly ConfigurationAt[] {
    const { appliedThrough } = this;
    let list = this.log.durable.configurations.filter(({ slot }) => slot <= appliedThrough);
    const known = list.at(-1)?.slot ?? 0;
    for (const { slot, configuration } of this.recent)
      if (slot > known) list = [...addConfiguration(list, slot, configuration)];
    return trimConfigurations(list, appliedThrough);
  }

  prepare(): boolean {
    return true;
  }

  apply(slot: Slot, value: Value): readonly CommandResult[] {
    if (slot !== this.appliedThrough + 1)
      throw new Error(`S6: slot ${slot} applied after ${this.appliedThrough}`);
    this.appliedThrough = slot;
    if (value.type === 'configuration') {
      const { chosenThrough } = this.log.durable;
      const { configuration } = value;
      this.recent = this.recent.filter((earlier) => earlier.slot > chosenThrough);
      this.recent.push({ slot, configuration });
    }
    return value.type === 'batch' ? resultsOf(value.bytes) : [];
  }

  takeRevisions(): readonly RevisionEvents[] {
    return [];
  }

  watchRevisions(): void {}

  dueLeases(): readonly LeaseId[] {
    return [];
  }

  get(): Entry | null {
    throw refusal();
  }

  getAt(_request: GetRequest, done: Done<Entry | null>): void {
    this.log.defer(() => done(refusal(), null));
  }

  scan({ revision }: ScanRequest, done: Done<ScanPage>): void {
    this.log.defer(() => done(refusal(), { type: 'page', entries: [], count: 0, next: null, revision }));
  }

  history(_query: HistoryQuery, done: Done<HistoryPage>): void {
    const page: HistoryPage = { type: 'history', revisions: [], next: null, revision: 0, compactRevision: 0 };
    this.log.defer(() => done(refusal(), page));
  }

  leases(): LeasesPage {
    throw refusal();
  }

  freeze(): Slot {
    return this.appliedThrough;
  }

  /** Its owner writes what was frozen once the log's mark covers it: then all of it is on disk. */
  writeFrozen(done: Done<void>): void {
    this.log.defer(() => done(null, undefined));
  }

  openSnapshot(done: Done<SnapshotReader>): void {
    this.log.defer(() => done(refusal(), NO_SNAPSHOT));
  }

  createInstaller(): SnapshotInstaller {
    return new SkipInstaller(this.log, this.life, (slot, life) => this.skipTo(slot, life));
  }

  reload(done: Done<void>): void {
    this.log.defer(() => {
      this.life += 1;
      this.recent = [];
      this.appliedThrough = this.log.durable.chosenThrough;
      done(null, undefined);
    });
  }

  close(done: Done<void>): void {
    this.log.defer(() => done(null, undefined));
  }

  private skipTo(slot: Slot, life: number): Error | null {
    if (life !== this.life) return new StoreError('closed', 'the state was reloaded meanwhile');
    this.recent = [];
    this.appliedThrough = slot;
    return null;
  }
}

/** Takes a snapshot that is nothing but its head: the slots through it are passed by. (W2) */
class SkipInstaller implements SnapshotInstaller {
  private failure: Error | null = null;

  constructor(
    private readonly log: WitnessLog,
    private readonly life: number,
    private readonly skipTo: (slot: Slot, life: number) => Error | null,
  ) {}

  write(records: Uint8Array, done: Done<void>): void {
    if (records.length > 0) this.failure ??= damaged('a snapshot for a witness has no records');
    const { failure } = this;
    this.log.defer(() => done(failure, undefined));
  }

  finish(slot: Slot, done: Done<void>): void {
    this.log.defer(() => done(this.failure ?? this.skipTo(slot, this.life), undefined));
  }

  abort(): void {
    this.failure ??= damaged('the installation has ended');
  }
}

/** One for each command, as the contract of apply() wants it; nobody who could be answered asked a witness. */
function resultsOf(bytes: Uint8Array): readonly CommandResult[] {
  try {
    return decodeBatch(bytes).commands.map(() => NO_RESULT);
  } catch (error) {
    if (error instanceof KvdError) return [];
    throw error;
  }
}

function refusal(): KvdError {
  return new KvdError('KVD_UNAVAILABLE', NO_STATE);
}

/** Stands in for the result of an openSnapshot that was refused. */
const NO_SNAPSHOT: SnapshotReader = {
  slot: 0,
  configurations: [],
  next: (_bytesMax, done) => queueMicrotask(() => done(refusal(), null)),
  close: () => {},
};
