/**
 * What a client asks a replica and what it answers, as data; requests-codec.ts gives the bytes. The same requests come
 * in over /client, over HTTP and, forwarded, from another replica.
 */
import type { ClusterId, ReplicaId } from '@kvd/paxos';
import type { CommandResult, Entry, LeaseId, Revision, SessionId } from './commands.js';
import type { ErrorCode, Outcome } from './errors.js';
import type { MembersQuery, MembersReport } from './members.js';

export type Consistency = 'linearizable' | 'stale';

/** A command for the log, as the bytes that will go there. */
export interface MutateRequest {
  readonly type: 'mutate';
  readonly timeoutMs: number;
  readonly command: Uint8Array;
}

export interface GetRequest {
  readonly type: 'get';
  readonly timeoutMs: number;
  readonly consistency: Consistency;
  readonly key: Uint8Array;
  /** As it was after this revision; 0: now. */
  readonly revision: Revision;
}

/** Keys k with from <= k < to in key order; an empty `to` means no upper bound. One page an answer. */
export interface ScanRequest {
  readonly type: 'scan';
  readonly timeoutMs: number;
  readonly consistency: Consistency;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  /** Entries wanted at most; 0: no limit but the page's. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** As it was after this revision; 0: now. Further pages ask for that of the first one, and see the same state. */
  readonly revision: Revision;
  /** In descending order of the keys. */
  readonly reverse: boolean;
}

/** One lease with its keys, or a page of all leases without them. */
export interface LeasesRequest {
  readonly type: 'leases';
  readonly timeoutMs: number;
  readonly consistency: Consistency;
  /** 0: all. */
  readonly lease: LeaseId;
  /** Of all: those with higher ids than this. */
  readonly after: LeaseId;
}

/** A place in the history: the event with this index (from 0) of what this revision did. */
export interface HistoryPosition {
  readonly revision: Revision;
  readonly index: number;
}

/** What was done to the keys of a range, by whom and why, from a place in the history on. One page an answer. */
export interface HistoryRequest {
  readonly type: 'history';
  readonly timeoutMs: number;
  readonly consistency: Consistency;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  /** Revision 0: from the oldest that is kept. */
  readonly start: HistoryPosition;
  /** Revisions wanted at most; 0: no limit but the page's. */
  readonly limit: number;
}

/** Who the members are, and how they do; with a change, after it. Answered by the leader. (members.ts) */
export interface MembersRequest extends MembersQuery {
  readonly type: 'members';
  readonly timeoutMs: number;
}

export type Request =
  | MutateRequest
  | GetRequest
  | ScanRequest
  | LeasesRequest
  | HistoryRequest
  | MembersRequest;

export type Response =
  | { readonly type: 'result'; readonly result: CommandResult }
  | { readonly type: 'entry'; readonly entry: Entry | null; readonly revision: Revision }
  | ScanPage
  | LeasesPage
  | HistoryPage
  | { readonly type: 'members'; readonly report: MembersReport }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly outcome: Outcome };

export interface ScanPage {
  readonly type: 'page';
  readonly entries: readonly Entry[];
  /** Matching keys in this page (for countOnly, where entries stays empty). */
  readonly count: number;
  /** The first key of the next page (reverse: its exclusive upper bound); null after the last. */
  readonly next: Uint8Array | null;
  /** The revision that the page was read at. */
  readonly revision: Revision;
}

export interface Lease {
  readonly lease: LeaseId;
  readonly ttlMs: number;
  /** On the cluster's clock. 0: it is due, and about to end. */
  readonly remainingMs: number;
  /** Empty in a list. As many as fit a page. */
  readonly keys: readonly Uint8Array[];
}

export interface LeasesPage {
  readonly type: 'leases';
  readonly leases: readonly Lease[];
  /** Are there more, with higher ids? */
  readonly more: boolean;
  readonly revision: Revision;
}

/** A change of one key. */
export type KvEvent =
  /** `previous`: what the key had, null when it was absent, or when that was not asked for. */
  | { readonly type: 'put'; readonly entry: Entry; readonly previous: Entry | null }
  | {
      readonly type: 'delete';
      readonly key: Uint8Array;
      readonly modRevision: Revision;
      readonly previous: Entry | null;
    };

/** Who did something, when and why; all but the time as the client says, and empty or 0 where it does not. */
export interface RevisionNote {
  /** Wall-clock time of the leader: for people. */
  readonly wallMs: number;
  /** The operation's id: a session and the number in it, or an idempotency key. */
  readonly session: SessionId;
  readonly sequence: number;
  readonly idempotencyKey: Uint8Array;
  readonly principal: string;
  readonly reason: string;
}

/** Of what a revision did, the part that was asked for. */
export interface RevisionEvents {
  readonly revision: Revision;
  readonly note: RevisionNote;
  readonly events: readonly KvEvent[];
}

export interface HistoryPage {
  readonly type: 'history';
  readonly revisions: readonly RevisionEvents[];
  /** Where the next page starts; null: this one reaches `revision`. Part of a revision may be on either page. */
  readonly next: HistoryPosition | null;
  /** The revision of the state that was read. */
  readonly revision: Revision;
  /** What was superseded at or below this revision is gone. */
  readonly compactRevision: Revision;
}

/** Be told what happens to the keys k with from <= k < to, from a revision on. */
export interface WatchRequest {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  /** 0: from the next revision on. */
  readonly fromRevision: Revision;
  /** With each event what the key had before. */
  readonly previous: boolean;
}

/** What a watcher is told, in this order: created, then events and progress, at last perhaps ended. */
export type WatchMessage =
  /** All that follows is of revisions above this one. */
  | { readonly type: 'created'; readonly revision: Revision }
  /**
   * Events of revisions above `previous`, which is the revision of the last event that this watch sent before, or that
   * of `created`; up to `revision`, that of the last event here. Of that one more may follow in the next message.
   */
  | {
      readonly type: 'events';
      readonly previous: Revision;
      readonly revision: Revision;
      readonly more: boolean;
      readonly events: readonly KvEvent[];
    }
  /** All events through `revision` were sent. `behind`: the watcher does not take them as fast as they come. */
  | { readonly type: 'progress'; readonly revision: Revision; readonly behind: boolean }
  /**
   * There will be no more. `resumeRevision`: a watch from there on misses nothing that can still be had. With
   * KVD_COMPACTED what lies between is gone: read the present state, and watch from after its revision.
   */
  | {
      readonly type: 'ended';
      readonly code: ErrorCode;
      readonly message: string;
      readonly resumeRevision: Revision;
    };

/** First frame of a client's connection. */
export interface ClientHello {
  readonly type: 'client-hello';
  readonly protocolVersion: number;
  /** Empty: any cluster. */
  readonly clusterId: ClusterId;
  /** For logs. */
  readonly name: string;
}

/** The replica's answer to it, and again whenever the leader or the members change. */
export interface Welcome {
  readonly type: 'welcome';
  readonly protocolVersion: number;
  readonly clusterId: ClusterId;
  readonly replicaId: ReplicaId;
  /** 0 when none is known. */
  readonly leaderId: ReplicaId;
  readonly members: readonly { readonly id: ReplicaId; readonly address: string }[];
}
