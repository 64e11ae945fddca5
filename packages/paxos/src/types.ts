/**
 * The words of the protocol as types: who votes (replica, incarnation, member, configuration), with what (ballot),
 * about what (slot, value). Plain data; nothing here decides anything.
 *
 * Numbers of different meaning are *flavoured*: a plain number may become a Slot, a Slot never becomes a ReplicaId.
 */

type Flavour<T, Name extends string> = T & { readonly _flavour?: Name };

/** A replica's number in its cluster, a positive integer below 2^31. */
export type ReplicaId = Flavour<number, 'ReplicaId'>;

/** A position in the log: 1, 2, 3, … 0 stands for "before the first". */
export type Slot = Flavour<number, 'Slot'>;

/** 128 random bits made when a data directory is formatted, as 32 lower-case hex digits. */
export type Incarnation = Flavour<string, 'Incarnation'>;

/** 128 random bits that the founder of a cluster chose, as 32 lower-case hex digits. */
export type ClusterId = Flavour<string, 'ClusterId'>;

/** The number of a synced write of a log directory, contiguous from 1 (docs/ARCHITECTURE.md, "markers"). */
export type MarkerNumber = Flavour<number, 'MarkerNumber'>;

/** Who a replica is while its directory lives: a wiped directory comes back as another identity. */
export interface Identity {
  readonly replicaId: ReplicaId;
  readonly incarnation: Incarnation;
}

/** Totally ordered by counter, then replica, then incarnation; see ballot.ts. Never used twice. */
export interface Ballot {
  readonly counter: number;
  readonly replicaId: ReplicaId;
  readonly incarnation: Incarnation;
}

/** A voter votes and may lead; a learner only learns; a witness votes and never leads. */
export type MemberRole = 'voter' | 'learner' | 'witness';

export interface Member extends Identity {
  readonly role: MemberRole;
  /** HOST:PORT where its peers and clients reach it. */
  readonly address: string;
  /** Of a learner: what it is to become as soon as it has caught up. */
  readonly promoteTo?: 'voter' | 'witness';
  /** Of a learner that is to be promoted: the member that leaves in the same step. */
  readonly replaces?: ReplicaId;
}

/** Who votes, as a value of the log. In force alpha slots after the slot it was chosen in (S11). */
export interface Configuration {
  readonly clusterId: ClusterId;
  /** How far ahead a configuration works, in slots. Written in slot 1, never changed after. */
  readonly alpha: number;
  /** The slot of the configuration that this one replaces; 0 for the founding one. */
  readonly replaces: Slot;
  /** Sorted by replicaId. */
  readonly members: readonly Member[];
  /** Size of a phase-2 quorum; 0 stands for a majority of the voting members. */
  readonly acceptQuorum: number;
}

export interface ConfigurationAt {
  readonly slot: Slot;
  readonly configuration: Configuration;
}

/** What a slot holds. The core looks into configurations only; a batch of commands is bytes to it. */
export type Value =
  | { readonly type: 'noop' }
  | { readonly type: 'batch'; readonly bytes: Uint8Array }
  | { readonly type: 'configuration'; readonly configuration: Configuration };

/** What an acceptor accepted in a slot; `chosen` when it was fetched as chosen, the ballot then says nothing. */
export interface LogEntry {
  readonly slot: Slot;
  readonly ballot: Ballot;
  readonly value: Value;
  readonly chosen: boolean;
}

export interface ChosenEntry {
  readonly slot: Slot;
  readonly value: Value;
}

/** What a replica's log directory says when it is opened: all that survives a crash. */
export interface RecoveredLog {
  readonly identity: Identity;
  /** Number of the last marker. */
  readonly marker: MarkerNumber;
  /** The highest ballot promised; ZERO_BALLOT before the first. Own ballots are promised before they are used. */
  readonly promised: Ballot;
  /** Every slot up to it is chosen, and its chosen value is in the log unless it was cut. */
  readonly chosenThrough: Slot;
  /** Slots up to it are no longer in the log. */
  readonly cutThrough: Slot;
  /** The last cut that was a snapshot's: that one says nothing about other replicas' disks (W2). Absent: none was. */
  readonly installedThrough?: Slot;
  /** Ascending by slot; what S9 and S11 need of the configurations chosen at or below chosenThrough. */
  readonly configurations: readonly ConfigurationAt[];
  /** Entries above chosenThrough, ascending; at most alpha slots ahead. */
  readonly accepted: readonly LogEntry[];
}

/** One atomic, synced write of the log. Absent members are unchanged. */
export interface Persist {
  readonly promised?: Ballot;
  /** Each replaces what the slot held. In the order they were accepted. */
  readonly entries: readonly LogEntry[];
  readonly chosenThrough?: Slot;
  /** The whole list, when it changed. */
  readonly configurations?: readonly ConfigurationAt[];
  /** Delete the slots up to it. */
  readonly cutThrough?: Slot;
  /** … because a snapshot at this slot took their place. */
  readonly installedThrough?: Slot;
}
