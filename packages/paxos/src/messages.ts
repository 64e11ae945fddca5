/**
 * The messages between the cores of two replicas, one documented type each. docs/PROTOCOL.md maps them to the
 * phases of the paper and gives their bytes.
 *
 * A **vote** (promise, accepted, probe-answer, heartbeat-answer) is counted only from an incarnation that the slot's
 * configuration names (S5). Who sent a message is not in it: the connection's handshake says so.
 *
 *     candidate                acceptors                      leader                   acceptors
 *        | probe ----------------> |                            | accept -----------------> |
 *        | <--------- probe-answer |                            |          (synced)         |
 *   (synced)                       |                            | <--------------- accepted |
 *        | prepare --------------> |                            | heartbeat --------------> |
 *        |        (synced)         |                            | <------- heartbeat-answer |
 *        | <--------------- promise|
 */
import type { Ballot, ChosenEntry, Incarnation, LogEntry, Slot, Value } from './types.js';

/** "Would you promise `ballot`?" Asked before a ballot is used up, so that a replica that comes back disturbs nobody. */
export interface Probe {
  readonly type: 'probe';
  /** Tells the answers of one attempt from those of another. */
  readonly attempt: number;
  readonly ballot: Ballot;
}

/** Binds nobody: nothing is persisted for it. */
export interface ProbeAnswer {
  readonly type: 'probe-answer';
  readonly attempt: number;
  readonly granted: boolean;
  readonly promised: Ballot;
}

/** Phase 1a for every slot from `fromSlot` on. Asked again with a higher `fromSlot` for the next page of the answer. */
export interface Prepare {
  readonly type: 'prepare';
  readonly ballot: Ballot;
  readonly fromSlot: Slot;
}

/**
 * Phase 1b, one page. Together with `chosenThrough` it covers the slots `fromSlot` to `throughSlot`: `accepted` holds
 * every entry accepted there above chosenThrough. `throughSlot` is null on the last page: all slots from fromSlot on.
 */
export interface PromiseMessage {
  readonly type: 'promise';
  readonly ballot: Ballot;
  readonly fromSlot: Slot;
  readonly throughSlot: Slot | null;
  readonly accepted: readonly LogEntry[];
  readonly chosenThrough: Slot;
}

/** Phase 2a. */
export interface Accept {
  readonly type: 'accept';
  readonly ballot: Ballot;
  readonly slot: Slot;
  readonly value: Value;
  /** The leader's, so that followers learn without a message of its own (S4). */
  readonly chosenThrough: Slot;
}

/** Phase 2b, for all slots that were synced together. */
export interface Accepted {
  readonly type: 'accepted';
  readonly ballot: Ballot;
  readonly slots: readonly Slot[];
}

/** "I promised more": the answer to a prepare, accept or heartbeat of `refused`. */
export interface Nack {
  readonly type: 'nack';
  readonly refused: Ballot;
  readonly promised: Ballot;
}

/** From the leader: I am here, this much is chosen; and a read round: has anybody promised more? (S7) */
export interface Heartbeat {
  readonly type: 'heartbeat';
  readonly ballot: Ballot;
  readonly round: number;
  readonly chosenThrough: Slot;
  readonly digest: Digest;
}

/** "No higher promise" to the round. */
export interface HeartbeatAnswer {
  readonly type: 'heartbeat-answer';
  readonly ballot: Ballot;
  readonly round: number;
  readonly chosenThrough: Slot;
  readonly digest: Digest;
}

/** The state hash after a slot that is a multiple of 1,024 (S12); slot 0 and '' before the first. */
export interface Digest {
  readonly slot: Slot;
  readonly hash: string;
}

/** "Send me what was chosen from `fromSlot` on, through `throughSlot` at most." To any replica. */
export interface Fetch {
  readonly type: 'fetch';
  readonly fromSlot: Slot;
  readonly throughSlot: Slot;
}

/** A page of chosen values, contiguous from the slot asked for; empty when the sender knows none. */
export interface Chosen {
  readonly type: 'chosen';
  readonly entries: readonly ChosenEntry[];
  /** How far the sender knows. */
  readonly chosenThrough: Slot;
}

/** "What you ask for is cut from my log: take a snapshot." */
export interface Cut {
  readonly type: 'cut';
  readonly cutThrough: Slot;
}

/** The leader hands over: the receiver skips the probe. */
export interface TakeOver {
  readonly type: 'take-over';
  readonly ballot: Ballot;
}

/**
 * "I heard marker `heard` from `incarnation`, and now a lower one: its directory was rolled back." (S5) The incarnation
 * is in it because the answer to a late message may reach one that took the place of its sender.
 */
export interface RolledBack {
  readonly type: 'rolled-back';
  readonly heard: number;
  readonly incarnation: Incarnation;
}

export type Message =
  | Probe
  | ProbeAnswer
  | Prepare
  | PromiseMessage
  | Accept
  | Accepted
  | Nack
  | Heartbeat
  | HeartbeatAnswer
  | Fetch
  | Chosen
  | Cut
  | TakeOver
  | RolledBack;

/** `to` lists the receivers, so that a message is encoded once however many get it. */
export interface Outgoing {
  readonly to: readonly number[];
  readonly message: Message;
}
