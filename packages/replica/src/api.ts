/** What the owner of a replica (kvd, the simulator) hands to it and sees of it. */
import type { ClusterId, MemberRole, ReplicaId, Slot } from '@kvd/paxos';
import type { Request, Response, Revision, WatchMessage, WatchRequest } from '@kvd/protocol';
import type { LogStore, Random, StateMachine, Trace, Transport } from './ports.js';

/** The roles of a replica that can be killed and rebuilt on their own (chaos). */
export type PaxosRole = 'acceptor' | 'learner' | 'proposer';

/** Where answers go: one per client connection, HTTP server or test. Called at most once per requestId. */
export interface ReplySink {
  reply(requestId: number, response: Response): void;
}

/** Where watchers are told: one per client connection, or HTTP stream. */
export interface WatchSink {
  /** What waits to be sent to this client, of watches and of all else. */
  readonly bufferedBytes: number;
  tell(watchId: number, message: WatchMessage): void;
}

export interface FoundingReplica {
  readonly id: ReplicaId;
  /** Where it is reached, as this start was told. */
  readonly address: string;
  /** As was written down when the directory was formatted; absent: the same. */
  readonly written?: string;
  /** Absent: a voter. */
  readonly role?: 'voter' | 'witness';
}

export interface ReplicaOptions {
  /** The founding members, sorted by id; null when this replica joins a cluster that others founded. */
  readonly founding: readonly FoundingReplica[] | null;
  /** Whom to ask while no configuration is known: for who joins. */
  readonly contacts?: readonly { readonly id: ReplicaId; readonly address: string }[];
  /** How long a leader is much slower than the others before it hands over; 0: it never does. */
  readonly slowLeaderMs?: number;
  /** Where to reach these, whatever they or the log say: behind a proxy, through a tunnel. */
  readonly dial?: readonly { readonly id: ReplicaId; readonly address: string }[];
  /** Counts at founding only; 0: a majority. */
  readonly acceptQuorum?: number;
  /** May a leader give a member that lost its disk its new incarnation by itself? */
  readonly readmit?: 'auto' | 'manual';
  /** Its directory keeps no state: it may be a witness, and nothing else. */
  readonly witness?: boolean;
  /** Proposed as the cluster's id when this replica founds it. */
  readonly newClusterId: ClusterId;
  /** False once a directory was set aside: never takes part in a founding. */
  readonly mayFound: boolean;
  /** Own HOST:PORT, as peers reach it. */
  readonly address: string;
  /** Counts at founding only. */
  readonly alpha: number;
  readonly tickMs: number;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly inFlightSlots: number;
  readonly batchBytes: number;
  readonly batchCommands: number;
  /** Slots kept behind the applied ones before the log is cut. */
  readonly snapshotSlots: number;
  /** Entries in one page of a promise; absent: 1,024. */
  readonly promiseEntries?: number;
  /** States are compared at every slot that is a multiple of this, by all replicas alike; absent: DIGEST_SLOTS. */
  readonly digestSlots?: number;
}

export interface ReplicaPorts {
  readonly log: LogStore;
  readonly state: StateMachine;
  readonly transport: Transport;
  readonly trace: Trace;
  readonly random: Random;
  /**
   * Calls `task` when all that came in together has been handed over: requests that arrive in one turn then share a slot,
   * or a read round, where the first would else set out alone.
   */
  readonly endOfTurn: (task: () => void) => void;
  readonly listeners?: ReplicaListeners;
}

/** Of GET /v1/status, what one replica knows of itself. */
export interface ReplicaStatus {
  readonly id: ReplicaId;
  readonly address: string;
  /** `learner` also for a replica that lost its disk; `founding` before slot 1 is chosen. */
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'witness' | 'founding' | 'stopped';
  /** Why it is not an ordinary voter, or empty. */
  readonly reason: string;
  readonly clusterId: ClusterId;
  /** The leader it knows; 0: none. */
  readonly leader: ReplicaId;
  /** `counter.replica` of the highest ballot promised. */
  readonly ballot: string;
  readonly chosenThrough: Slot;
  readonly appliedThrough: Slot;
  readonly cutThrough: Slot;
  readonly revision: Revision;
  /** Running hash at appliedThrough. */
  readonly stateHash: string;
  readonly incarnation: string;
  /** Can it answer linearizable requests (itself or through the leader)? */
  readonly ready: boolean;
  readonly down: readonly PaxosRole[];
  readonly pendingRequests: number;
  readonly watches: number;
  /** Reads below this revision are refused: that history is compacted. */
  readonly compactRevision: Revision;
  /** Where the latest configuration that it knows was chosen; 0: it knows none. */
  readonly configurationSlot: Slot;
  readonly members: readonly {
    readonly id: ReplicaId;
    readonly address: string;
    readonly role: MemberRole;
    readonly incarnation: string;
    /** Is there a connection to the incarnation that the configuration names? Always true for itself. */
    readonly connected: boolean;
    readonly chosenThrough: Slot;
  }[];
}

/** What the owner is told. Each is called synchronously; none may throw. */
export interface ReplicaListeners {
  /** Leader, members or readiness changed. */
  readonly onChange?: () => void;
  /** The cluster's id became known: write it down where the directory's identity is. */
  readonly onCluster?: (clusterId: ClusterId) => void;
  /** The log or state failed, or the directory turned out to be rolled back. The replica is silent about its log. */
  readonly onFailure?: (failure: ReplicaFailure) => void;
}

export type ReplicaFailure =
  /** A write of the log failed. recoverLog() reopens and verifies it, when the owner thinks it may work. */
  | { readonly kind: 'log'; readonly error: Error }
  /** Writing or reading the state failed; the replica goes on voting and rebuilds the state by itself. */
  | { readonly kind: 'state'; readonly error: Error }
  /** A peer has heard a newer write from this directory than it holds: it counts as lost (S5). */
  | { readonly kind: 'rolled-back' }
  /** The configuration of `slot` is without this replica, and it is no longer needed: it is to stop. */
  | { readonly kind: 'removed'; readonly slot: Slot };

/**
 * The replica as its owner uses it; class Replica implements it together with TransportHandler. Every call is
 * synchronous; what takes time completes through ports.
 */
export interface ReplicaApi {
  /** `wallMs`: wall-clock time, carried for people. Called every tickMs; or, while isQuiet, twice every other time. */
  tick(wallMs: number): void;
  /** Nothing but heartbeats and reports for a while, so nothing waits for a tick but what is slow anyway. */
  readonly isQuiet: boolean;
  request(sink: ReplySink, requestId: number, request: Request): void;
  /** The sink is gone: forget what waits for it. */
  forgetSink(sink: ReplySink): void;
  /** `watchId` is the client's choice, one at a time on a sink; the first message is `created` or `ended`. */
  watch(sink: WatchSink, watchId: number, request: WatchRequest): void;
  /** Tell no more; nothing is said about it. */
  unwatch(sink: WatchSink, watchId: number): void;
  /** The sink is gone: end its watches. */
  forgetWatches(sink: WatchSink): void;
  status(): ReplicaStatus;
  /** What its owner measures: how long a synced write takes these days, in ms, stalls of the process included. */
  slowMs: number;
  /** Chaos: drop what the role holds in memory; it hears nothing until restoreRole, which rebuilds it from disk. */
  killRole(role: PaxosRole): void;
  restoreRole(role: PaxosRole): void;
  /** After a failure of the log: reopen and verify it; all roles are rebuilt from it. */
  recoverLog(done: (error: Error | null) => void): void;
  /** Drills: campaign now, without a probe. */
  campaign(): void;
  /** Hand over leadership if leading, flush, stop; nothing is sent or answered after `done`. */
  stop(done: () => void): void;
}
