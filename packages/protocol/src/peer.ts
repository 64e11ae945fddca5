/**
 * What passes between replicas besides the messages of the core (@kvd/paxos Message): the handshake, requests passed
 * on to the leader, and snapshots. peer-codec.ts gives the bytes of all of them.
 */
import type {
  ClusterId,
  ConfigurationAt,
  Identity,
  Incarnation,
  MarkerNumber,
  Message,
  ReplicaId,
  Slot,
} from '@kvd/paxos';
import type { Request, Response } from './requests.js';

/** First frame of a connection between replicas, in both directions. A difference that matters ends the connection. */
export interface PeerHello {
  readonly type: 'peer-hello';
  readonly protocolVersion: number;
  /** Empty before the founding configuration is known: any cluster. */
  readonly clusterId: ClusterId;
  readonly replicaId: ReplicaId;
  readonly incarnation: Incarnation;
  /** HOST:PORT where the sender listens. */
  readonly address: string;
  /** The founding list as `ID=HOST:PORT,…` sorted by id; other members at a peer are refused. Empty: none known. */
  readonly founding: string;
}

/** A request passed on to the leader, over one hop. */
export interface Forward {
  readonly type: 'forward';
  readonly forwardId: number;
  readonly request: Request;
}

export interface ForwardReply {
  readonly type: 'forward-reply';
  readonly forwardId: number;
  readonly response: Response;
}

/** Ask for a snapshot (`snapshotId` 0, `sequence` 0), or for the next chunk of one. Sent again when unanswered. */
export interface SnapshotFetch {
  readonly type: 'snapshot-fetch';
  readonly snapshotId: number;
  readonly sequence: number;
  /** By a witness: only how far the sender's log is cut, and the configurations that belong there. (W2) */
  readonly headOnly: boolean;
}

/** The state after `slot`, in chunks numbered from 0. Each chunk repeats the header. */
export interface SnapshotChunk {
  readonly type: 'snapshot-chunk';
  readonly snapshotId: number;
  readonly sequence: number;
  readonly last: boolean;
  readonly slot: Slot;
  /** Ascending; what S9 asks to be held. */
  readonly configurations: readonly ConfigurationAt[];
  /** Records as the state machine encodes them; opaque here. At most PAGE_BYTES_MAX plus one record. */
  readonly records: Uint8Array;
}

/** "I have no such snapshot (any more)", or from its receiver: "I want no more of it". */
export interface SnapshotGone {
  readonly type: 'snapshot-gone';
  readonly snapshotId: number;
}

/** How a replica does: to the leader, or to all where it knows none; and from the leader to all. (docs/MEMBERSHIP.md) */
export interface Report {
  readonly type: 'report';
  /** Its log durably holds every chosen value through it, but for what it cut behind a durable state. */
  readonly durableThrough: Slot;
  /** From an established leader: through it every data voter holds everything durably (W1). 0 otherwise. */
  readonly heldThrough: Slot;
  /** Where the latest configuration was chosen that it has regarded for that. */
  readonly heldSlot: Slot;
  /** How long a synced write takes it these days, from when it is wanted, in milliseconds. */
  readonly slowMs: number;
  /** It keeps no state: it may be a witness, and nothing else. */
  readonly witness: boolean;
  /** Whom it is connected with. */
  readonly hears: readonly Identity[];
}

/** To a replica that was removed, once it is no longer needed: the configuration of `slot` is the one without it. */
export interface Dismissed {
  readonly type: 'dismissed';
  readonly slot: Slot;
  /** Whom it is meant for: a directory that is gone meanwhile is not its successor. */
  readonly incarnation: Incarnation;
}

export type PeerMessage =
  | Message
  | Forward
  | ForwardReply
  | SnapshotFetch
  | SnapshotChunk
  | SnapshotGone
  | Report
  | Dismissed;

/** A peer message as received: `marker` is the sender's last durable marker (S5). */
export interface PeerEnvelope {
  readonly marker: MarkerNumber;
  readonly message: PeerMessage;
}
