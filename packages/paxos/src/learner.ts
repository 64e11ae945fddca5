/**
 * The learner: which values are chosen. Owns chosenThrough and the way to advance it: from the leader's word about a
 * ballot we accepted, from a quorum this replica's own proposer counted, from values fetched at any peer, from a
 * snapshot. It never treats a value as chosen because a slot number says so. (Paxos Made Simple, 2.3; S4)
 */
import type { Acceptor } from './acceptor.js';
import { sameBallot, ZERO_BALLOT as ZERO } from './ballot.js';
import type { ConfigurationHistory } from './configuration.js';
import type { Outbox } from './outbox.js';
import type {
  Ballot,
  ChosenEntry,
  Configuration,
  ConfigurationAt,
  RecoveredLog,
  ReplicaId,
  Slot,
  Value,
} from './types.js';

interface KnownValue {
  readonly value: Value;
  /** The ballot it was chosen at, where that is known. */
  readonly ballot: Ballot | null;
}

/** A fetch that was not answered for so many ticks goes to another peer. */
const FETCH_PATIENCE_TICKS = 10;
const FETCH_SLOTS = 512;

export class Learner {
  chosenThrough: Slot;
  /** Chosen, but a slot below is still missing. At most alpha ahead. */
  private readonly known = new Map<Slot, KnownValue>();
  /** How far each peer said that it knows. */
  private readonly peers = new Map<ReplicaId, Slot>();
  private fetching: { readonly from: ReplicaId; ticks: number } | null = null;
  /** What we knew when a peer said that the slots after it are cut. */
  private cutOffAt: Slot | null = null;

  constructor(
    recovered: RecoveredLog,
    private readonly history: ConfigurationHistory,
    private readonly acceptor: () => Acceptor | null,
    private readonly out: Outbox,
    private readonly random: () => number,
    /** Whoever can be asked, whether or not it is known to be ahead. */
    private readonly others: () => readonly ReplicaId[],
  ) {
    this.chosenThrough = recovered.chosenThrough;
    for (const entry of recovered.accepted) {
      if (entry.chosen) this.known.set(entry.slot, { value: entry.value, ballot: null });
    }
    this.advance();
  }

  /**
   * A leader says how far its ballot's slots are chosen.
   *
   * Rule: our accepted entry is what was chosen only if its ballot is the one that the leader speaks with. (S4)
   * Why safe: one ballot has one value per slot, so the value accepted at the leader's ballot is the value that the
   *   leader knows chosen; an entry of another ballot may be a value that lost. Those are fetched.
   */
  onLeaderSays(leader: ReplicaId, ballot: Ballot, chosenThrough: Slot): void {
    this.heard(leader, chosenThrough);
    const acceptor = this.acceptor();
    for (let slot = this.chosenThrough + 1; slot <= chosenThrough && acceptor; slot++) {
      const entry = acceptor.acceptedAt(slot);
      if (!entry || !sameBallot(entry.ballot, ballot)) break;
      this.choose(slot, entry.value, ballot);
    }
    this.advance();
    if (chosenThrough > this.chosenThrough) this.fetchMore();
  }

  /** A quorum accepted `value` at `ballot`, as counted here; or a peer that knows it chosen says so (ballot null). */
  learn(slot: Slot, value: Value, ballot: Ballot | null): void {
    const ahead = this.history.founded ? this.history.alpha : 1;
    if (slot <= this.chosenThrough || slot > this.chosenThrough + ahead) return;
    if (!this.known.has(slot)) this.known.set(slot, { value, ballot });
    this.advance();
  }

  onChosen(from: ReplicaId, entries: readonly ChosenEntry[], chosenThrough: Slot): void {
    this.heard(from, chosenThrough);
    const before = this.chosenThrough;
    for (const entry of entries) this.learn(entry.slot, entry.value, null);
    if (this.fetching?.from === from) this.fetching = null;
    // A page that brings nothing is no reason to ask at once for the next.
    if (this.chosenThrough > before) this.fetchMore();
  }

  /** Remember how far a peer knows; never a reason to treat anything as chosen. */
  heard(from: ReplicaId, chosenThrough: Slot): void {
    if (chosenThrough > (this.peers.get(from) ?? 0)) this.peers.set(from, chosenThrough);
  }

  peerChosenThrough(peer: ReplicaId): Slot {
    return this.peers.get(peer) ?? 0;
  }

  /** Is anybody known to be ahead? */
  get behind(): boolean {
    for (const slot of this.peers.values()) if (slot > this.chosenThrough) return true;
    return false;
  }

  tick(): void {
    if (this.fetching) {
      this.fetching.ticks += 1;
      if (this.fetching.ticks > FETCH_PATIENCE_TICKS) this.fetching = null;
    }
    if (this.behind) this.fetchMore();
  }

  /** It may be gone for good, and others know more as well: nobody is to wait for its answers. */
  onDisconnected(peer: ReplicaId): void {
    this.peers.delete(peer);
    if (this.fetching?.from === peer) this.fetching = null;
  }

  /** A peer cut what comes next. Another may have it, also one that tells us nothing: a removed member that has not stopped. */
  onCut(): void {
    this.cutOffAt = this.chosenThrough;
  }

  /** Ask one of the peers that know more, one page at a time. */
  fetchMore(): void {
    if (this.fetching) return;
    const ahead = [...this.peers].filter(([, slot]) => slot > this.chosenThrough).map(([id]) => id);
    const asked = this.cutOffAt === this.chosenThrough ? [...new Set([...ahead, ...this.others()])] : ahead;
    const from = asked[Math.floor(this.random() * asked.length)];
    if (from !== undefined) this.fetchFrom(from);
  }

  fetchFrom(from: ReplicaId): void {
    // What was fetched is written first: memory stays bounded however slow the disk is.
    if (this.fetching || this.out.waitingEntries > FETCH_SLOTS) return;
    this.fetching = { from, ticks: 0 };
    const fromSlot = this.chosenThrough + 1;
    this.out.sendNow([from], { type: 'fetch', fromSlot, throughSlot: fromSlot + FETCH_SLOTS - 1 });
  }

  /** A snapshot at `slot` was installed: everything through it is chosen, applied and durable. (S9, S10) */
  onSnapshotInstalled(slot: Slot, configurations: readonly ConfigurationAt[]): void {
    this.fetching = null;
    if (slot > this.chosenThrough) {
      this.chosenThrough = slot;
      this.history.replace(configurations, slot);
      for (const known of this.known.keys()) if (known <= slot) this.known.delete(known);
      this.acceptor()?.onChosenThrough(slot);
      this.out.persistChosenThrough(slot);
      this.out.persistConfigurations(this.history.all);
    }
    this.out.persistInstalled(slot);
    this.advance();
  }

  private advance(): void {
    for (
      let next = this.known.get(this.chosenThrough + 1);
      next;
      next = this.known.get(this.chosenThrough + 1)
    ) {
      this.choose(this.chosenThrough + 1, next.value, next.ballot);
    }
  }

  /**
   * The next slot is chosen. The log must hold its value before our mark says so: it does if we accepted it at the
   * ballot it was chosen at; otherwise it is written now, in the same write as the mark or an earlier one.
   */
  private choose(slot: Slot, value: Value, ballot: Ballot | null): void {
    const held = this.acceptor()?.acceptedAt(slot);
    const inLog = held !== undefined && ballot !== null && sameBallot(held.ballot, ballot);
    if (!inLog) {
      const at = held?.ballot ?? ballot ?? ZERO;
      this.out.persistEntry({ slot, ballot: at, value, chosen: true });
    }
    this.known.delete(slot);
    this.chosenThrough = slot;
    this.out.persistChosenThrough(slot);
    if (value.type === 'configuration') this.takeConfiguration(slot, value.configuration);
    this.acceptor()?.onChosenThrough(slot);
    this.out.chosen.push({ slot, value });
  }

  /**
   * A learner that was rebuilt from disk sees again what the history may hold already. It is written again too: where
   * the log failed in between, the write that held it was dropped.
   */
  private takeConfiguration(slot: Slot, configuration: Configuration): void {
    const isKnown = slot <= (this.history.latest?.slot ?? 0);
    if (isKnown || this.history.add(slot, configuration)) this.out.persistConfigurations(this.history.all);
  }
}
