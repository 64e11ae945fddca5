/**
 * What the logs of the survivors of a lost majority prove: which slots are chosen, which may be, and where something may
 * have been chosen, and acknowledged, that no survivor has. Pure: no I/O, no state. Why each verdict holds:
 *
 * Two kinds of evidence. What a record *says* ("I accepted v at ballot b", "all is chosen through n") stays true whoever
 * kept it: a damaged log, a learner, a replica that was wiped since. What a log does *not* say ("I accepted nothing in
 * slot s", "I promised nothing above b") is believed only of a log that was verified whole, and only of a voter that the
 * slot's configuration names, by replica and incarnation (S5). Every other voter of the slot is counted as **lost**.
 *
 * Let K be the last slot that some survivor knows chosen. For a slot s above K, with its configuration (S11), q the size of
 * its phase-2 quorum, p that of phase 1, and `lost` the number of its lost voters:
 *
 * 1. *Chosen*, if a survivor fetched it as chosen, or q of its voters hold it at one ballot.
 * 2. Let (b, v) be the entry with the highest ballot that any survivor holds in s. Whatever was chosen in s at a ballot of
 *    at most b is v (Paxos Made Simple, P2c: whoever proposed at b was bound to it). So v is the one value to keep.
 * 3. v *may be chosen* only if the lost voters and the survivors that hold anything in s are q together.
 * 4. A value that *no survivor holds* may be chosen in s only if the lost voters are q without any survivor: one that had
 *    voted for it would still hold it, or something of a higher ballot that is the same value by 2. And only at a ballot
 *    above b for which p voters promised, so only if lost voters and intact ones that promised more than b are p.
 *    Hence: where q > lost, no acknowledged write can be missing, whatever the lost ones did.
 * 5. Slots are applied, and writes acknowledged, in order. So with t the first slot that cannot be chosen, nothing from t on
 *    was ever acknowledged, though single slots there may be chosen.
 * 6. A survivor that accepted in s knew everything through s - alpha, so the configuration of every slot that a survivor
 *    accepted in is known. Further ahead it depends on configurations that are accepted and not known chosen: there, what
 *    any of the possible ones allows counts. That, and nothing else, is where alpha bounds anything: where q <= lost already
 *    in slot K + 1 the lost replicas may have gone on for ever, while the survivors were cut off, and *no* bound is true.
 */
import {
  type Ballot,
  compareBallots,
  type Configuration,
  type ConfigurationAt,
  ConfigurationHistory,
  type Identity,
  isVoterOf,
  type LogEntry,
  phase1Size,
  phase2Size,
  type ReplicaId,
  sameBallot,
  type Slot,
  votersOf,
  ZERO_BALLOT,
} from '@kvd/paxos';

/** The evidence of one survivor. */
export interface SurvivorLog {
  readonly identity: Identity;
  /** Verified whole: what it does not say did not happen. */
  readonly intact: boolean;
  readonly promised: Ballot;
  /** Everything through it is chosen, by a log or a state that was verified. */
  readonly knownThrough: Slot;
  /** Everything through it is chosen, says a log that is damaged, and may have forgotten with which values. */
  readonly claimedThrough: Slot;
  readonly configurations: readonly ConfigurationAt[];
  /** What it accepted above knownThrough; of a damaged log what can still be read. */
  readonly accepted: readonly LogEntry[];
}

/**
 * `chosen`: provably. `may-be-chosen`: it is, or nothing else was at the ballots that survivors know. `not-chosen`: too few
 * can have accepted it. `nothing-here`: no survivor has anything in the slot.
 */
export type Verdict = 'chosen' | 'may-be-chosen' | 'not-chosen' | 'nothing-here';

export interface SlotVerdict {
  readonly slot: Slot;
  readonly verdict: Verdict;
  /** The value to keep: known chosen, else of the highest ballot. Null: no survivor has any. */
  readonly entry: LogEntry | null;
  /** Voters of the slot that hold it at that ballot. */
  readonly holders: readonly ReplicaId[];
  /** Size of a phase-2 quorum, voters lost; 0 where no configuration is known. */
  readonly quorum: number;
  readonly lost: number;
  /** May a value have been chosen here that no survivor holds? */
  readonly unseen: boolean;
  /** May what was chosen here have been acknowledged? False behind a slot that cannot be chosen. */
  readonly acknowledged: boolean;
}

export interface Judgement {
  /** K: some survivor knows everything through it chosen. */
  readonly knownThrough: Slot;
  /** Every slot through it is provably chosen. */
  readonly provenThrough: Slot;
  /** Above knownThrough, ascending without gaps, through the last one that a survivor holds anything in. */
  readonly slots: readonly SlotVerdict[];
  /** The slots in which acknowledged writes may be that no survivor has; `last` null: no bound is known. */
  readonly unseen: { readonly first: Slot; readonly last: Slot | null } | null;
  /** Without gaps from knownThrough on: the last slot that there is a value to keep of. */
  readonly keepThrough: Slot;
  readonly configurations: readonly ConfigurationAt[];
}

interface Held {
  readonly by: SurvivorLog;
  readonly entry: LogEntry;
}

/** `logs`: one for each incarnation. */
export function judge(logs: readonly SurvivorLog[]): Judgement {
  return new Judge(logs).judgement();
}

class Judge {
  private readonly knownThrough: Slot;
  private readonly claimedThrough: Slot;
  private readonly held = new Map<Slot, Held[]>();
  private readonly lastHeld: Slot;
  /** Configurations accepted above knownThrough. */
  private readonly proposed: ConfigurationAt[] = [];
  private readonly configurations: readonly ConfigurationAt[];
  private readonly history: ConfigurationHistory;

  constructor(private readonly logs: readonly SurvivorLog[]) {
    this.knownThrough = Math.max(0, ...logs.map((log) => log.knownThrough));
    this.claimedThrough = Math.max(this.knownThrough, ...logs.map((log) => log.claimedThrough));
    for (const by of logs) for (const entry of by.accepted) this.hold(by, entry);
    this.lastHeld = Math.max(this.knownThrough, ...this.held.keys());
    this.configurations = this.knownConfigurations();
    this.history = new ConfigurationHistory(this.configurations);
  }

  judgement(): Judgement {
    const { knownThrough, configurations } = this;
    const slots = this.verdicts();
    const through = (isPart: (slot: SlotVerdict) => boolean): Slot => {
      const end = slots.findIndex((slot) => !isPart(slot));
      return knownThrough + (end < 0 ? slots.length : end);
    };
    return {
      knownThrough,
      provenThrough: through(({ verdict }) => verdict === 'chosen'),
      slots,
      unseen: this.unseenSlots(slots),
      keepThrough: through(({ entry }) => entry !== null),
      configurations,
    };
  }

  private hold(by: SurvivorLog, entry: LogEntry): void {
    if (entry.slot <= this.knownThrough) return;
    const held = this.held.get(entry.slot);
    if (held === undefined) this.held.set(entry.slot, [{ by, entry }]);
    else held.push({ by, entry });
    const { slot, value } = entry;
    if (value.type === 'configuration') this.proposed.push({ slot, configuration: value.configuration });
  }

  /**
   * Every configuration that a survivor knows chosen, by slot. Before the founding: the one that slot 1 may hold, which is
   * the one that votes on it.
   */
  private knownConfigurations(): ConfigurationAt[] {
    const bySlot = new Map<Slot, ConfigurationAt>();
    for (const { configurations } of this.logs) for (const at of configurations) bySlot.set(at.slot, at);
    const founding = this.strongest(1)?.value;
    if (bySlot.size === 0 && founding?.type === 'configuration')
      bySlot.set(1, { slot: 1, configuration: founding.configuration });
    return [...bySlot.values()].sort((a, b) => a.slot - b.slot);
  }

  private verdicts(): SlotVerdict[] {
    const slots: SlotVerdict[] = [];
    let acknowledged = true;
    for (let slot = this.knownThrough + 1; slot <= this.lastHeld; slot += 1) {
      const verdict = this.verdictOf(slot);
      acknowledged &&= isPossible(verdict);
      slots.push({ ...verdict, acknowledged });
    }
    return slots;
  }

  private verdictOf(slot: Slot): Omit<SlotVerdict, 'acknowledged'> {
    const entry = this.strongest(slot);
    const configuration = this.history.at(slot);
    const isGoverned = configuration !== null && slot <= this.knownThrough + configuration.alpha;
    const unseen = this.mayBeUnseen(slot, entry?.ballot ?? ZERO_BALLOT);
    const verdict = this.weigh(slot, entry, isGoverned ? configuration : null, unseen);
    return {
      slot,
      verdict,
      entry,
      holders: isGoverned && entry !== null ? this.votersAt(configuration, slot, entry.ballot) : [],
      quorum: isGoverned ? phase2Size(configuration) : 0,
      lost: isGoverned ? this.lostOf(configuration) : 0,
      unseen: unseen && verdict !== 'chosen',
    };
  }

  /** Rules 1 to 3. `configuration` null: nobody who knew it accepted here, only a learner or a damaged log tells of it. */
  private weigh(
    slot: Slot,
    entry: LogEntry | null,
    configuration: Configuration | null,
    unseen: boolean,
  ): Verdict {
    if (entry === null) return 'nothing-here';
    if (entry.chosen) return 'chosen';
    // Chosen for certain, and by rule 4 no other value can be.
    if (slot <= this.claimedThrough) return unseen ? 'may-be-chosen' : 'chosen';
    if (configuration === null) return 'may-be-chosen';
    const held = this.heldIn(slot);
    const quorum = phase2Size(configuration);
    const isProven = held.some(
      (other) => this.votersAt(configuration, slot, other.entry.ballot).length >= quorum,
    );
    if (isProven) return 'chosen';
    const holders = votersAmong(configuration, held.map(({ by }) => by).filter(isIntact));
    return this.lostOf(configuration) + holders.length >= quorum ? 'may-be-chosen' : 'not-chosen';
  }

  /** Rules 4 and 6: a value that no survivor holds, chosen at a ballot above `floor`. */
  private mayBeUnseen(slot: Slot, floor: Ballot): boolean {
    if (slot <= this.claimedThrough && this.heldIn(slot).length === 0) return true;
    if (!this.history.founded) return true;
    return this.possibleConfigurations(slot).some((configuration) => {
      const lost = this.lostOf(configuration);
      if (lost < phase2Size(configuration)) return false;
      const promised = this.logs.filter((log) => log.intact && compareBallots(log.promised, floor) > 0);
      return lost + votersAmong(configuration, promised).length >= phase1Size(configuration);
    });
  }

  /** What may govern the slot: what is known to, and, where that is not yet decided, each that is accepted far enough below. */
  private possibleConfigurations(slot: Slot): Configuration[] {
    const known = this.history.at(slot);
    const decidedBy = slot - this.history.alpha;
    const proposed = this.proposed.filter((at) => at.slot <= decidedBy).map((at) => at.configuration);
    return known === null ? proposed : [known, ...proposed];
  }

  /** Rule 5: up to the first slot that cannot be chosen. */
  private unseenSlots(slots: readonly SlotVerdict[]): Judgement['unseen'] {
    let first: Slot | null = null;
    let last: Slot = 0;
    // Behind the last slot that a survivor holds anything in, and alpha on, nothing changes any more.
    const horizon = Math.max(this.lastHeld, this.claimedThrough) + this.history.alpha + 1;
    for (let slot = this.knownThrough + 1; slot <= horizon; slot += 1) {
      const isClaimed = slot > this.lastHeld && slot <= this.claimedThrough;
      const verdict = slots[slot - this.knownThrough - 1] ?? this.verdictOf(slot);
      if (!isPossible(verdict)) return first === null ? null : { first, last };
      if (!verdict.unseen) continue;
      first ??= slot;
      // The rest of what is claimed is alike.
      if (isClaimed) slot = this.claimedThrough;
      last = slot;
    }
    return first === null ? null : { first, last: null };
  }

  /** The value to keep: one known chosen outweighs every ballot, among accepted ones the highest ballot wins. (Rule 2) */
  private strongest(slot: Slot): LogEntry | null {
    let strongest: LogEntry | null = null;
    for (const { entry } of this.heldIn(slot)) {
      if (strongest === null || isStronger(entry, strongest)) strongest = entry;
    }
    return strongest;
  }

  private heldIn(slot: Slot): readonly Held[] {
    return this.held.get(slot) ?? [];
  }

  /** Damaged ones too: that they accepted is true, whatever else they forgot. */
  private votersAt(configuration: Configuration, slot: Slot, ballot: Ballot): ReplicaId[] {
    const holders = this.heldIn(slot).filter(
      ({ entry }) => !entry.chosen && sameBallot(entry.ballot, ballot),
    );
    return votersAmong(
      configuration,
      holders.map(({ by }) => by),
    );
  }

  /** How many voters no verified log speaks for. */
  private lostOf(configuration: Configuration): number {
    return votersOf(configuration).length - votersAmong(configuration, this.logs.filter(isIntact)).length;
  }
}

const isIntact = (log: SurvivorLog): boolean => log.intact;

/** Distinct voters of the configuration, by replica and incarnation (S5). */
function votersAmong(configuration: Configuration, logs: readonly SurvivorLog[]): ReplicaId[] {
  const ids = logs
    .filter((log) => isVoterOf(configuration, log.identity))
    .map((log) => log.identity.replicaId);
  return [...new Set(ids)].sort((a, b) => a - b);
}

function isPossible({ verdict, unseen }: Pick<SlotVerdict, 'verdict' | 'unseen'>): boolean {
  return unseen || verdict === 'chosen' || verdict === 'may-be-chosen';
}

function isStronger(a: LogEntry, b: LogEntry): boolean {
  if (a.chosen !== b.chosen) return a.chosen;
  return compareBallots(a.ballot, b.ballot) > 0;
}
