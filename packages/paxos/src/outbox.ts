/**
 * What the roles want done, gathered until the next Ready: writes, messages that may leave at once, and messages that
 * assert something about this replica's disk and so wait for the write that makes it true (S1).
 *
 * Group commit happens here: while one write is under way, all that comes in gathers in the next.
 */
import type { Message } from './messages.js';
import type { ConfirmedRead } from './read-rounds.js';
import type { Ballot, ChosenEntry, ConfigurationAt, LogEntry, Persist, ReplicaId, Slot } from './types.js';
import { sameBallot } from './ballot.js';

export interface Envelope {
  readonly to: readonly ReplicaId[];
  readonly message: Message;
}

/** A request for chosen values, to be served from the log by the owner. */
export interface FetchRequest {
  readonly to: ReplicaId;
  readonly fromSlot: Slot;
  readonly throughSlot: Slot;
}

export class Outbox {
  send: Envelope[] = [];
  afterPersist: Envelope[] = [];
  chosen: ChosenEntry[] = [];
  fetches: FetchRequest[] = [];
  confirmedReads: ConfirmedRead[] = [];
  refusedReads: number[] = [];

  private promised: Ballot | null = null;
  private entries: LogEntry[] = [];
  private chosenThrough: Slot | null = null;
  private configurations: readonly ConfigurationAt[] | null = null;
  private cutThrough: Slot | null = null;
  private installedThrough: Slot | null = null;
  private forced = false;
  /** The highest mark handed out; a learner that is rebuilt from disk may start below it. */
  private marked: Slot = 0;

  sendNow(to: readonly ReplicaId[], message: Message): void {
    if (to.length > 0) this.send.push({ to, message });
  }

  sendAfterPersist(to: readonly ReplicaId[], message: Message): void {
    this.afterPersist.push({ to, message });
  }

  /** Phase 2b of slots that are synced together goes out as one message. */
  acceptedAfterPersist(to: ReplicaId, ballot: Ballot, slot: Slot): void {
    const last = this.afterPersist.at(-1);
    if (
      last &&
      last.to[0] === to &&
      last.message.type === 'accepted' &&
      sameBallot(last.message.ballot, ballot)
    ) {
      const slots = [...last.message.slots, slot];
      this.afterPersist[this.afterPersist.length - 1] = { to: last.to, message: { ...last.message, slots } };
      return;
    }
    this.sendAfterPersist([to], { type: 'accepted', ballot, slots: [slot] });
  }

  persistPromised(ballot: Ballot): void {
    this.promised = ballot;
  }

  persistEntry(entry: LogEntry): void {
    this.entries.push(entry);
  }

  /** Rides on the next write that is needed anyway; see force(). */
  persistChosenThrough(slot: Slot): void {
    if (slot <= this.marked) return;
    this.marked = slot;
    this.chosenThrough = slot;
  }

  persistConfigurations(list: readonly ConfigurationAt[]): void {
    this.configurations = [...list];
    this.forced = true;
  }

  persistCut(through: Slot): void {
    this.cutThrough = Math.max(through, this.cutThrough ?? 0);
    this.forced = true;
  }

  /** A snapshot took the place of all through this slot. */
  persistInstalled(through: Slot): void {
    this.installedThrough = Math.max(through, this.installedThrough ?? 0);
    this.persistCut(through);
  }

  /** Write what is waiting even if it is only how far the chosen slots go. */
  force(): void {
    if (this.chosenThrough !== null) this.forced = true;
  }

  get waitingEntries(): number {
    return this.entries.length;
  }

  get needsWrite(): boolean {
    return this.promised !== null || this.entries.length > 0 || this.forced;
  }

  takePersist(): Persist | null {
    if (!this.needsWrite) return null;
    const { cutThrough } = this;
    const persist: Persist = {
      entries: cutThrough === null ? this.entries : this.entries.filter((entry) => entry.slot > cutThrough),
      ...(this.promised && { promised: this.promised }),
      ...(this.chosenThrough !== null && { chosenThrough: this.chosenThrough }),
      ...(this.configurations && { configurations: this.configurations }),
      ...(this.cutThrough !== null && { cutThrough: this.cutThrough }),
      ...(this.installedThrough !== null && { installedThrough: this.installedThrough }),
    };
    this.clearPersist();
    return persist;
  }

  private clearPersist(): void {
    this.promised = null;
    this.entries = [];
    this.chosenThrough = null;
    this.configurations = null;
    this.cutThrough = null;
    this.installedThrough = null;
    this.forced = false;
  }

  /**
   * The acceptor was killed: what it had not written is gone, as in a crash. Entries through the highest mark stay, for
   * the mark says that the log holds them, whatever became of the learner that set it.
   */
  dropAcceptor(): void {
    this.promised = null;
    this.entries = this.entries.filter((entry) => entry.chosen || entry.slot <= this.marked);
    this.afterPersist = withoutRole(this.afterPersist, 'acceptor');
    // Its own ballot is used up on disk only by the promise that was just dropped.
    this.afterPersist = withoutRole(this.afterPersist, 'proposer');
  }

  /** The log failed: nothing of what waits may ever be written, for what it builds upon may be missing. */
  dropAll(): void {
    this.clearPersist();
    this.send = [];
    this.afterPersist = [];
    this.chosen = [];
    this.marked = 0;
  }

  /** Nothing more is said; what waits to be written may be. */
  silence(): void {
    this.send = [];
    this.afterPersist = [];
  }

  dropProposer(): void {
    this.afterPersist = withoutRole(this.afterPersist, 'proposer');
  }
}

/** The messages without those that assert something on behalf of a role that was killed. */
export function withoutRole(
  list: readonly Envelope[],
  role: 'acceptor' | 'learner' | 'proposer',
): Envelope[] {
  return list.filter(({ message }) => {
    if (role === 'acceptor') return message.type !== 'promise' && message.type !== 'accepted';
    if (role === 'proposer') return message.type !== 'prepare';
    return true;
  });
}
