/**
 * The ports of a replica: what it needs of a disk, a state machine, a network and a logbook. Each is implemented twice,
 * for kvd (LevelDB, ws, pino) and for the simulator (virtual disk, virtual network, trace).
 *
 * Ports complete through a callback, never before the call returned, and never by a promise: the completion becomes an
 * input of the replica. Below the ports there is no clock, no timer and no chance.
 */
import type {
  ClusterId,
  ConfigurationAt,
  Identity,
  LogEntry,
  MarkerNumber,
  Persist,
  RecoveredLog,
  ReplicaId,
  Slot,
  Value,
} from '@kvd/paxos';
import type {
  ClusterMs,
  CommandResult,
  Entry,
  GetRequest,
  HistoryPage,
  HistoryRequest,
  LeaderBallot,
  LeaseId,
  LeasesPage,
  LeasesRequest,
  Revision,
  RevisionEvents,
  ScanPage,
  ScanRequest,
} from '@kvd/protocol';

export type Done<T> = (error: Error | null, result: T) => void;

/** The acceptor's log. Every write is synced; one is in flight at a time. */
export interface LogStore {
  /** What the last open or reload found. */
  readonly recovered: RecoveredLog;
  /**
   * Write one batch atomically, sync it, then answer with its marker number. Called again only after `done`. After an
   * error the store is poisoned: every later write fails with the same error until reload.
   */
  write(batch: Persist, done: Done<MarkerNumber>): void;
  /**
   * Entries `fromSlot` … `throughSlot`, ascending and contiguous, at least one and as many as fit `bytesMax`; fewer or
   * none where the log holds no more. A damaged record is an error.
   */
  read(fromSlot: Slot, throughSlot: Slot, bytesMax: number, done: Done<LogEntry[]>): void;
  /** Read everything anew from disk, as after a process restart (chaos). Waits for a write in flight. */
  reload(done: Done<RecoveredLog>): void;
  close(done: Done<void>): void;
}

/** The key-value state (or whatever else commands act upon). */
export interface StateMachine {
  /** The last slot applied, in memory. 0: empty. */
  readonly appliedThrough: Slot;
  /** The last slot whose effects are on disk. */
  readonly durableThrough: Slot;
  readonly revision: Revision;
  readonly clusterMs: ClusterMs;
  /** The highest ballot of the batches applied; one of a lower ballot does nothing. */
  readonly leader: LeaderBallot;
  /** Running hash over what was applied, 16 hex digits. */
  readonly stateHash: string;
  /** Configurations applied, ascending, as far as S9 asks for them at appliedThrough. */
  readonly configurations: readonly ConfigurationAt[];
  /** Bytes and ms-independent count of keys waiting for a flush. */
  readonly dirtyKeys: number;
  /** About how many bytes of records the next flush writes. */
  readonly dirtyBytes: number;

  /**
   * Load what apply(slot, value) will read and cannot read synchronously (ranges). True: nothing to load, apply may be
   * called at once. False: `done` follows; no other slot is applied before.
   */
  prepare(value: Value, done: Done<void>): boolean;
  /**
   * Apply the next slot (appliedThrough + 1, else it throws S6). Total: a command it cannot read gets an error result,
   * alike on every replica. Reads nothing but the state and the value. Results: one per command of a batch, in order; none of
   * a batch that does nothing, for it was overtaken.
   */
  apply(slot: Slot, value: Value): readonly CommandResult[];

  /** Below this revision no read can be answered, and from the one above it on every change is known. */
  readonly compactRevision: Revision;
  /** How much history is to be kept; 0: no bound of that kind. */
  readonly retention: { readonly keepRevisions: number; readonly keepMs: number };
  /**
   * What the slots applied since the last call did, in order; nothing unless `watchRevisions(true)` was said. After a
   * reload, revisions that were taken before come again.
   */
  takeRevisions(): readonly RevisionEvents[];
  watchRevisions(wanted: boolean): void;
  /** Leases that have ended by `nowMs`, at most `max`, those that ended first first. */
  dueLeases(nowMs: ClusterMs, max: number): readonly LeaseId[];

  /** From the write-back layer, the cache or the disk; a damaged record throws. */
  get(key: Uint8Array): Entry | null;
  /**
   * Reads of the past. Errors: KvdError KVD_COMPACTED or KVD_FUTURE_REVISION, which are the reader's; any other is the
   * state's. Later applies do not show in them.
   */
  getAt(request: GetRequest, done: Done<Entry | null>): void;
  /** One page, as of now or of a revision. */
  scan(request: ScanRequest, done: Done<ScanPage>): void;
  history(request: HistoryQuery, done: Done<HistoryPage>): void;
  leases(request: LeasesRequest): LeasesPage;

  /** Freeze what is dirty as of now (ends at a slot's boundary) and return its slot; writeFrozen then writes it. */
  freeze(): Slot;
  /** Write what was frozen as one synced, atomic batch with its appliedThrough. One at a time. */
  writeFrozen(done: Done<void>): void;

  /**
   * A reader over the state as it is on disk. Nothing is flushed for it: a state that somebody took a copy of must not
   * get ahead of its log, for such a state counts as a snapshot that was installed.
   */
  openSnapshot(done: Done<SnapshotReader>): void;
  /** A writer beside the present state, which goes on as it is until finish() (S10). */
  createInstaller(): SnapshotInstaller;
  /** Drop what is in memory and read everything anew from disk, as after a process restart (chaos). */
  reload(done: Done<void>): void;
  close(done: Done<void>): void;
}

export type HistoryQuery = Pick<HistoryRequest, 'from' | 'to' | 'start' | 'limit'> & {
  /** With each event what the key had before. */
  readonly previous: boolean;
};

export interface SnapshotReader {
  readonly slot: Slot;
  readonly configurations: readonly ConfigurationAt[];
  /** The next chunk, null after the last. */
  next(bytesMax: number, done: Done<Uint8Array | null>): void;
  close(): void;
}

export interface SnapshotInstaller {
  write(records: Uint8Array, done: Done<void>): void;
  /**
   * Check the contents' hash, then replace the state whole in one synced step; on an error (damaged, cut short) the
   * present state stays. From then on appliedThrough = durableThrough = slot.
   */
  finish(slot: Slot, done: Done<void>): void;
  abort(): void;
}

/** The network. Sending never blocks and may fail silently; order is kept on a connection. */
export interface Transport {
  /**
   * One or more encoded peer messages (peer-codec). False: dropped, for there is no connection or too much is waiting;
   * it certainly never left. True says nothing about its arrival.
   */
  send(to: ReplicaId, bytes: Uint8Array): boolean;
  /** Whom to stay connected with. Called again when the configuration changes. */
  setPeers(peers: readonly { readonly id: ReplicaId; readonly address: string }[]): void;
  /** From now on the handshake says and demands this cluster. */
  setCluster(clusterId: ClusterId): void;
}

/** What a transport reports; implemented by Replica. */
export interface TransportHandler {
  /** A frame of one or more messages; throws KvdError(KVD_BAD_FRAME) on bytes that are none, then the link is closed. */
  onPeerFrame(from: Identity, bytes: Uint8Array): void;
  /** `clusterId`: of the cluster that it knows; empty: none yet. */
  onPeerConnected(from: Identity, address: string, clusterId: ClusterId): void;
  onPeerDisconnected(from: Identity): void;
}

/** The logbook: what happened, for people and for the simulator. Never influences anything. */
export interface Trace {
  event(
    level: 'debug' | 'info' | 'warn' | 'error',
    name: string,
    fields: Readonly<Record<string, unknown>>,
  ): void;
}

/** Numbers from 0 (inclusive) to 1, from a generator that the owner seeds. */
export type Random = () => number;
