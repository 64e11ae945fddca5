/**
 * What a client asks a replica and what it answers, as data; requests-codec.ts gives the bytes. The same requests come
 * in over /client, over HTTP and, forwarded, from another replica.
 */
import type { ClusterId, ReplicaId } from '@kvd/paxos';
import type { CommandResult, Revision } from './commands.js';
import type { ErrorCode, Outcome } from './errors.js';

export type Consistency = 'linearizable' | 'stale';

export interface Entry {
  readonly key: Uint8Array;
  /** Empty when only keys were asked for. */
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 for a key just created, one more with every put. */
  readonly version: number;
}

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
}

export type Request = MutateRequest | GetRequest | ScanRequest;

export type Response =
  | { readonly type: 'result'; readonly result: CommandResult }
  | { readonly type: 'entry'; readonly entry: Entry | null; readonly revision: Revision }
  | ScanPage
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly outcome: Outcome };

export interface ScanPage {
  readonly type: 'page';
  readonly entries: readonly Entry[];
  /** Matching keys in this page (for countOnly, where entries stays empty). */
  readonly count: number;
  /** Where the next page starts; null after the last. */
  readonly next: Uint8Array | null;
  /** The revision that the page was read at. */
  readonly revision: Revision;
}

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
