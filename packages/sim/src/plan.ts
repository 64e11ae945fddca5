/**
 * What a seed decides, as plain data: the cluster, its weather, the faults and the operations, each a list that can be
 * shortened, so that a failing run can be shrunk and replayed. Nothing here runs anything.
 */
import type { PaxosRole } from '@kvd/replica';
import type { BasicKind } from './workload/basic.js';
import type { DataKind } from './workload/data.js';

/** A replica's number, or whoever leads when the fault strikes. */
export type Target = number | 'leader';

/** When a crash strikes: at its time, or after so many of its victim's sends or disk writes from then on. */
export interface Fuse {
  readonly what: 'send' | 'write';
  readonly count: number;
}

/** What becomes of the writes that are under way when a process dies. */
export type WritesAtCrash = 'lost' | 'some' | 'all';

/** What of a directory can be damaged: its stores, the side file, the identity. */
export type DamagedPart = 'log' | 'state' | 'side' | 'identity';

export type FaultAction =
  /** The process dies. `writes`: what had not completed is lost, or some or all of it reached the disk unanswered. */
  | {
      readonly kind: 'crash';
      readonly replica: Target;
      readonly downMs: number;
      readonly writes: WritesAtCrash;
      /** The side file falls back to an older number, as at a power cut. */
      readonly sideLags: boolean;
      readonly fuse: Fuse | null;
    }
  /** Power cut: all at once. */
  | { readonly kind: 'crash-all'; readonly downMs: number; readonly writes: 'lost' | 'some' }
  /** SIGTERM, then a start. */
  | { readonly kind: 'stop'; readonly replica: Target; readonly downMs: number }
  /** Between `side` and the rest nothing passes; `oneWay`: only what `side` sends is lost. */
  | {
      readonly kind: 'partition';
      readonly side: readonly Target[];
      readonly oneWay: boolean;
      /** Are the connections found dead, or do they just stay silent? */
      readonly noticed: boolean;
      readonly forMs: number;
    }
  | { readonly kind: 'flap'; readonly replica: Target; readonly periodMs: number; readonly forMs: number }
  | { readonly kind: 'slow-disk'; readonly replica: Target; readonly factor: number; readonly forMs: number }
  | { readonly kind: 'stuck-disk'; readonly replica: Target; readonly forMs: number }
  | {
      readonly kind: 'write-error';
      readonly replica: Target;
      readonly part: 'log' | 'state';
      readonly error: 'no-space' | 'io';
      readonly extent: 'once' | 'always';
      readonly forMs: number;
    }
  | {
      readonly kind: 'read-error';
      readonly replica: Target;
      readonly part: 'log' | 'state';
      readonly forMs: number;
    }
  /** Damage strikes a dead process's disk and is met at its next start; `live`: under the running process. */
  | {
      readonly kind: 'flip-bit';
      readonly replica: Target;
      readonly part: DamagedPart;
      readonly where: number;
      readonly live: boolean;
      readonly downMs: number;
    }
  | {
      readonly kind: 'lose-tail';
      readonly replica: Target;
      readonly part: 'log' | 'state';
      readonly batches: number;
      readonly downMs: number;
    }
  /** Its directory becomes what it was `ageMs` before: an old backup, put back. Only in a scenario: see TESTING.md. */
  | {
      readonly kind: 'roll-back';
      readonly replica: Target;
      readonly ageMs: number;
      readonly downMs: number;
    }
  /** Its state is no longer what others made of the same slots. Only in a scenario. */
  | { readonly kind: 'diverge'; readonly replica: Target }
  /** Two machines start with each other's directories, until that is put right. */
  | { readonly kind: 'swap-disks'; readonly replica: number; readonly other: number; readonly forMs: number }
  | { readonly kind: 'wipe'; readonly replica: Target; readonly downMs: number }
  /** SIGSTOP, SIGCONT. */
  | { readonly kind: 'pause'; readonly replica: Target; readonly forMs: number }
  | { readonly kind: 'clock-jump'; readonly replica: Target; readonly byMs: number }
  | {
      readonly kind: 'kill-role';
      readonly replica: Target;
      readonly role: PaxosRole;
      readonly downMs: number;
    }
  /** A drill: campaign at once, probe or not. */
  | { readonly kind: 'campaign'; readonly replica: Target }
  | { readonly kind: 'storm'; readonly weather: Weather; readonly forMs: number }
  /** The operator asks for a change of the members. */
  | { readonly kind: 'members'; readonly ask: MemberAsk }
  /** A spare machine is started, to join when it is asked to. */
  | { readonly kind: 'join'; readonly replica: number }
  /** A replica that was removed and stopped is started again, with the directory it has. */
  | { readonly kind: 'return'; readonly replica: number }
  /**
   * For a while there is a second process with the replica's number. `empty`: with a new directory. `old`: with the
   * replica's own, `afterMs` after that got an empty disk instead. Only in scenarios.
   */
  | {
      readonly kind: 'twin';
      readonly replica: Target;
      readonly disk: 'empty' | 'old';
      readonly afterMs: number;
      readonly forMs: number;
    };

/** Whom it is about is looked for when it is asked: a replica of which it makes sense, `replica` if it can be. */
export type MemberAsk =
  | { readonly type: 'add'; readonly replica: number; readonly promote: boolean }
  /** The one comes, and the other one leaves when it has caught up. */
  | { readonly type: 'replace'; readonly replica: number; readonly leaves: Target }
  | { readonly type: 'remove' | 'demote' | 'promote' | 'readmit' | 'move-leader'; readonly replica: Target }
  | { readonly type: 'accept-quorum'; readonly size: number };

export type Fault = FaultAction & { readonly atMs: number };
export type FaultKind = FaultAction['kind'];

/** How messages fare. */
export interface Weather {
  readonly loss: number;
  readonly duplication: number;
  readonly reordering: number;
  readonly delayMs: number;
  readonly jitterMs: number;
}

export interface ClientPlan {
  /** Number its mutations in a session (exactly-once), or send them bare. */
  readonly session: boolean;
  /** Operations under way at once. */
  readonly concurrency: number;
  readonly attemptMs: number;
  readonly deadlineMs: number;
  /** Mean time between an answer that it cannot use and the next attempt. */
  readonly backoffMs: number;
  /** How likely a request is sent to a second replica at once, where that is safe. */
  readonly hedging: number;
  /** Answers reach it so much later. */
  readonly slowMs: number;
  /** How likely it asks the same replica again that did not answer. */
  readonly loyalty: number;
}

/** `watch`: a watcher is there from then on. */
export type OperationKind = BasicKind | DataKind | 'hold' | 'watch';

export interface Operation {
  /** Not before. */
  readonly atMs: number;
  readonly client: number;
  readonly kind: OperationKind;
  /** Index of the key; of a scan or range: the first. */
  readonly key: number;
  /** Keys of a scan or range. */
  readonly span: number;
  readonly valueBytes: number;
  /** Seed of what is drawn when it is performed. */
  readonly dice?: number;
  /** Of a lease. */
  readonly ttlMs?: number;
}

export interface Plan {
  readonly seed: number;
  readonly scenario: string;
  /** Founders, numbered from 1. */
  readonly replicas: number;
  /** Machines beyond those, which may join; numbered from there. */
  readonly spares: number;
  /** Whose directories are witnesses', founders or spares. */
  readonly witnesses: readonly number[];
  /** Of the founding; 0: a majority. */
  readonly acceptQuorum: number;
  readonly readmit: 'auto' | 'manual';
  readonly tickMs: number;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly alpha: number;
  readonly inFlightSlots: number;
  readonly batchCommands: number;
  readonly snapshotSlots: number;
  /** Entries in one page of a promise. */
  readonly promiseEntries: number;
  /** States are compared at every so-manieth slot. */
  readonly digestSlots: number;
  /** Frames arrive although the connection that they were sent on has ended. */
  readonly lateFrames: boolean;
  /** Writes of the log and writes of the state overtake each other. */
  readonly twoQueues: boolean;
  /** Of each replica: how fast its ticks come, 1 is right. */
  readonly drift: readonly number[];
  readonly weather: Weather;
  /** Mean time of a synced write, and of a read. */
  readonly syncMs: number;
  readonly readMs: number;
  readonly keys: number;
  /** From here on nothing fails any more. */
  readonly calmMs: number;
  /** So long after, every replica is asked for a write and a read. */
  readonly graceMs: number;
  /** By then all must have answered and caught up; it ends earlier when they have. */
  readonly endMs: number;
  readonly clients: readonly ClientPlan[];
  readonly faults: readonly Fault[];
  readonly operations: readonly Operation[];
}

/** Of every seed's first faults and operations, only these are kept: a shrunk run. Null: all. */
export interface Selection {
  readonly faults: readonly number[] | null;
  readonly operations: readonly number[] | null;
}

export const EVERYTHING: Selection = { faults: null, operations: null };

export function select(plan: Plan, { faults, operations }: Selection): Plan {
  return {
    ...plan,
    faults: faults === null ? plan.faults : faults.flatMap((i) => plan.faults[i] ?? []),
    operations: operations === null ? plan.operations : operations.flatMap((i) => plan.operations[i] ?? []),
  };
}
