/** A recovery's plan as one JSON object, for programs. Field names are an interface: add to them, change none. Pure. */
import { bytesField, operationId } from '@kvd/protocol';
import type { DescribedCommand, PlannedDirectory, PlannedSlot, RecoveryPlan, SlotRange } from '@kvd/store';

type Json = Readonly<Record<string, unknown>>;

export function planJson(plan: RecoveryPlan): Json {
  const { clusterId, alpha, nothingLost, voters, knownThrough, provenThrough, startFrom, recovered } = plan;
  return {
    cluster: clusterId,
    alpha,
    nothingLost,
    directories: plan.directories.map(directoryJson),
    voters:
      voters === null
        ? null
        : voters.members.map(({ replicaId, ...rest }) => ({ replica: replicaId, ...rest })),
    quorum: voters?.quorum ?? null,
    lost: voters?.lost ?? null,
    knownThrough,
    knownTime: timeOf(plan.knownWallMs),
    provenThrough,
    slots: plan.slots.map(slotJson),
    mayBeMissing: rangeJson(plan.unseen),
    outOfReach: rangeJson(plan.outOfReach),
    safeThroughRevision: plan.safeThroughRevision,
    startFrom: startFrom && { directory: startFrom.directory, replica: startFrom.replicaId },
    recovered,
  };
}

/** ISO 8601; null: not known. */
export function timeOf(wallMs: number | null): string | null {
  return wallMs === null ? null : new Date(wallMs).toISOString();
}

/** How many slots there are in a range; null: without end. */
export function countOf({ first, last }: SlotRange): number | null {
  return last === null ? null : last - first + 1;
}

function rangeJson(range: SlotRange | null): Json | null {
  return range && { firstSlot: range.first, lastSlot: range.last, slots: countOf(range) };
}

function directoryJson(planned: PlannedDirectory): Json {
  const { directory, replicaId, state, ...rest } = planned;
  const nothing = { appliedThrough: null, revision: null, stateHash: null, contentHash: null, keys: null };
  return { directory, replica: replicaId, ...rest, ...(state ?? nothing) };
}

function slotJson(planned: PlannedSlot): Json {
  const { slot, verdict, kept, unseen, acknowledged, ballot, holders, quorum, lost, revisions, value } =
    planned;
  return {
    slot,
    verdict,
    kept,
    otherPossible: unseen,
    acknowledgedPossible: acknowledged,
    ballot,
    holders,
    quorum,
    lost,
    revisions: revisions && { after: revisions[0], through: revisions[1] },
    value: value?.type ?? null,
    time: timeOf(value?.wallMs ?? null),
    commands: value?.commands.map(commandJson) ?? [],
  };
}

function commandJson(command: DescribedCommand): Json {
  const { type, session, sequence, idempotencyKey, principal, keys } = command;
  return {
    type,
    ...(session === 0 ? {} : { session }),
    ...(sequence === 0 ? {} : { operation: operationId(session, sequence) }),
    ...(idempotencyKey.length === 0 ? {} : bytesField('idempotencyKey', idempotencyKey)),
    ...(principal === '' ? {} : { principal }),
    keys: keys.map((key) => bytesField('key', key)),
  };
}
