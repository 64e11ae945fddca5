/** What a recovery would do and what may be lost by it, as data: for kvctl to print, for programs to read. Pure. */
import {
  type ClusterId,
  ConfigurationHistory,
  formatBallot,
  type Incarnation,
  isVoterOf,
  type MemberRole,
  memberOf,
  phase2Size,
  type ReplicaId,
  type Slot,
  votersOf,
} from '@kvd/paxos';
import { describeValue, type DescribedValue } from './described.js';
import type { Survivor } from './inspect.js';
import type { Judgement, SlotVerdict, Verdict } from './judge.js';
import type { Replayed } from './replay.js';

export interface PlannedDirectory {
  readonly directory: string;
  readonly replicaId: ReplicaId | null;
  readonly incarnation: Incarnation | null;
  /** In the configuration of the slot after knownThrough; null: it does not name this incarnation. */
  readonly role: MemberRole | null;
  /** Null: verified. */
  readonly logDamage: string | null;
  /** Null: verified, or there is none. */
  readonly stateDamage: string | null;
  /** COUNTER.REPLICA. */
  readonly promised: string;
  readonly chosenThrough: Slot;
  readonly cutThrough: Slot;
  /** Entries above chosenThrough. */
  readonly accepted: number;
  readonly state: {
    readonly appliedThrough: Slot;
    readonly revision: number;
    readonly stateHash: string;
    readonly contentHash: string;
    readonly keys: number;
  } | null;
}

export interface PlannedSlot {
  readonly slot: Slot;
  readonly verdict: Verdict;
  readonly kept: boolean;
  /** A value that no survivor has may have been chosen here instead. */
  readonly unseen: boolean;
  readonly acknowledged: boolean;
  /** COUNTER.REPLICA; null: no survivor has anything here. */
  readonly ballot: string | null;
  readonly holders: readonly ReplicaId[];
  readonly quorum: number;
  readonly lost: number;
  /** The revisions that its replay made: above the first, through the second. Null: not kept. */
  readonly revisions: readonly [after: number, through: number] | null;
  readonly value: DescribedValue | null;
}

export interface SlotRange {
  readonly first: Slot;
  /** Null: nobody can say. */
  readonly last: Slot | null;
}

export interface RecoveryPlan {
  readonly clusterId: ClusterId;
  readonly alpha: number;
  /** Whether every write that was ever acknowledged is in the recovered state. */
  readonly nothingLost: boolean;
  readonly directories: readonly PlannedDirectory[];
  /** Who votes on the slot after knownThrough; null: no survivor knows. */
  readonly voters: {
    readonly members: readonly {
      readonly replicaId: ReplicaId;
      readonly role: MemberRole;
      readonly survived: boolean;
    }[];
    /** Size of a phase-2 quorum: so many had to accept what was acknowledged. */
    readonly quorum: number;
    readonly lost: number;
  } | null;
  readonly knownThrough: Slot;
  readonly provenThrough: Slot;
  /** Wall-clock time at the leader of the last batch through knownThrough; null: none is left to tell. */
  readonly knownWallMs: number | null;
  /** Above knownThrough: what a survivor has, and the gaps between. */
  readonly slots: readonly PlannedSlot[];
  /** Where acknowledged writes may be that no survivor has. */
  readonly unseen: SlotRange | null;
  /** Chosen, some survivor knows, and no log and no state that can be read has it. */
  readonly outOfReach: SlotRange | null;
  /** Every acknowledged write of a revision up to this one is in the recovered state. */
  readonly safeThroughRevision: number;
  /** Who knows most is chosen; null: nobody knows anything. */
  readonly startFrom: { readonly directory: string; readonly replicaId: ReplicaId | null } | null;
  /** The state that a new cluster would begin with; null: none can be made. */
  readonly recovered: {
    /** Whose state the replay began with; null: the logs go back to slot 1. */
    readonly base: string | null;
    readonly baseSlot: Slot;
    readonly slot: Slot;
    readonly revision: number;
    readonly stateHash: string;
    readonly contentHash: string;
  } | null;
}

export function describePlan(
  survivors: readonly Survivor[],
  judgement: Judgement,
  replayed: Replayed | null,
): RecoveryPlan {
  const { knownThrough, provenThrough, unseen, configurations } = judgement;
  const history = new ConfigurationHistory(configurations);
  const reached = replayed?.state.appliedThrough ?? 0;
  const slots = judgement.slots.map((slot) => planSlot(slot, replayed));
  const outOfReach = reached < knownThrough ? { first: reached + 1, last: knownThrough } : null;
  const isMissing = (slot: PlannedSlot): boolean =>
    slot.acknowledged && !slot.kept && (slot.unseen || slot.verdict !== 'nothing-here');
  return {
    clusterId: survivors.find(({ clusterId }) => clusterId !== '')?.clusterId ?? '',
    alpha: history.alpha,
    nothingLost: unseen === null && outOfReach === null && !slots.some(isMissing),
    directories: survivors.map((survivor) => planDirectory(survivor, history, knownThrough)),
    voters: votersAt(survivors, history, knownThrough + 1),
    knownThrough,
    provenThrough,
    knownWallMs: replayed?.wallMs ?? null,
    slots,
    unseen,
    outOfReach,
    safeThroughRevision: safeRevision(replayed, unseen),
    startFrom: startFrom(survivors),
    recovered: recoveredOf(replayed),
  };
}

function planSlot(verdict: SlotVerdict, replayed: Replayed | null): PlannedSlot {
  const { slot, entry, unseen, acknowledged, holders, quorum, lost } = verdict;
  const after = replayed?.revisions.get(slot - 1);
  const through = replayed?.revisions.get(slot);
  const revisions = after === undefined || through === undefined ? null : ([after, through] as const);
  return {
    slot,
    verdict: verdict.verdict,
    kept: revisions !== null,
    unseen,
    acknowledged,
    ballot: entry === null ? null : formatBallot(entry.ballot),
    holders,
    quorum,
    lost,
    revisions,
    value: entry === null ? null : describeValue(entry.value),
  };
}

function planDirectory(
  survivor: Survivor,
  history: ConfigurationHistory,
  knownThrough: Slot,
): PlannedDirectory {
  const { directory, identity, logDamage, stateDamage, promised, chosenThrough, cutThrough, state } =
    survivor;
  const configuration = history.at(knownThrough + 1);
  const member = identity && configuration ? memberOf(configuration, identity) : undefined;
  return {
    directory,
    replicaId: identity?.replicaId ?? null,
    incarnation: identity?.incarnation ?? null,
    role: member?.role ?? null,
    logDamage,
    stateDamage,
    promised: formatBallot(promised),
    chosenThrough,
    cutThrough,
    accepted: survivor.accepted.length,
    state: state && {
      appliedThrough: state.appliedThrough,
      revision: state.revision,
      stateHash: state.runningHash.toString(),
      contentHash: state.contentHash.toString(),
      keys: state.keys,
    },
  };
}

function votersAt(
  survivors: readonly Survivor[],
  history: ConfigurationHistory,
  slot: Slot,
): RecoveryPlan['voters'] {
  const configuration = history.at(slot);
  if (configuration === null) return null;
  const intact = survivors.filter(
    ({ logDamage, identity }) => logDamage === null && identity && isVoterOf(configuration, identity),
  );
  const members = votersOf(configuration).map(({ replicaId, role }) => ({
    replicaId,
    role,
    survived: intact.some(({ identity }) => identity?.replicaId === replicaId),
  }));
  const lost = members.filter(({ survived }) => !survived).length;
  return { members, quorum: phase2Size(configuration), lost };
}

function safeRevision(replayed: Replayed | null, unseen: Judgement['unseen']): number {
  if (replayed === null) return 0;
  const { state, revisions } = replayed;
  // What no survivor has comes after everything below the first slot that it may be in.
  return unseen === null ? state.revision : (revisions.get(unseen.first - 1) ?? state.revision);
}

/** The one of whose knowledge everybody else's is a prefix: what is chosen is the same for all. */
function startFrom(survivors: readonly Survivor[]): RecoveryPlan['startFrom'] {
  const knows = ({ logDamage, chosenThrough, state }: Survivor): [Slot, Slot] => {
    const applied = state?.appliedThrough ?? 0;
    return [Math.max(logDamage === null ? chosenThrough : 0, applied), applied];
  };
  const best = survivors.toSorted((a, b) => {
    const [aKnown, aApplied] = knows(a);
    const [bKnown, bApplied] = knows(b);
    return bKnown - aKnown || bApplied - aApplied;
  })[0];
  if (best === undefined || knows(best)[0] === 0) return null;
  return { directory: best.directory, replicaId: best.identity?.replicaId ?? null };
}

function recoveredOf(replayed: Replayed | null): RecoveryPlan['recovered'] {
  if (replayed === null) return null;
  const { state, base, baseSlot } = replayed;
  return {
    base: base?.directory ?? null,
    baseSlot,
    slot: state.appliedThrough,
    revision: state.revision,
    stateHash: state.stateHash,
    contentHash: state.contentHash,
  };
}
