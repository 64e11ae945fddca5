/** A recovery's plan for people: who is left, what is proven, what may be lost, what will be kept. Pure. */
import { operationId } from '@kvd/protocol';
import type { DescribedCommand, PlannedSlot, RecoveryPlan } from '@kvd/store';
import Table from 'cli-table3';
import { printable } from './bytes.js';
import { countOf, timeOf } from './recover-json.js';

/** Of a slot's commands and of a plan's slots; -o json has them all. */
const COMMANDS_SHOWN = 5;
const SLOTS_SHOWN = 50;
const STYLE = { head: [], border: [], compact: true };

export function planText(plan: RecoveryPlan): string {
  const parts = [
    `cluster ${plan.clusterId || 'not known'}`,
    directoriesTable(plan),
    ...damages(plan),
    ...quorumText(plan),
    chosenText(plan),
    ...slotsTable(plan),
    ...recoveredText(plan),
    ...(plan.nothingLost ? ['Nothing that was acknowledged can be lost.'] : missingText(plan)),
  ];
  return parts.join('\n');
}

/** What may be lost, in whole sentences; none where nothing can be. */
export function missingText(plan: RecoveryPlan): string[] {
  const { unseen, outOfReach, voters, slots, recovered } = plan;
  const lines: string[] = [];
  if (recovered === null) lines.push('NO STATE CAN BE MADE of what there is.');
  if (outOfReach !== null)
    lines.push(
      `LOST: slots ${outOfReach.first} to ${outOfReach.last} are chosen, and no survivor can say with what.`,
    );
  if (unseen !== null) {
    const bound = unseen.last === null ? 'on, without a bound that could be proven' : `to ${unseen.last}`;
    const count = countOf(unseen);
    const why =
      voters === null
        ? 'no survivor knows who the members are'
        : `${voters.quorum} votes acknowledge a write, and ${voters.lost} voters are lost`;
    lines.push(
      `MAY BE LOST: acknowledged writes in slots ${unseen.first} ${bound}${count === null ? '' : ` (${count} slots at most)`}: ${why}.`,
      `Every acknowledged write up to revision ${plan.safeThroughRevision} is kept; the last batch known chosen is of ${timeOf(plan.knownWallMs) ?? 'an unknown time'}.`,
    );
  }
  const dropped = slots.filter(({ kept, value, acknowledged }) => !kept && value !== null && acknowledged);
  if (dropped.length > 0)
    lines.push(
      `NOT KEPT, for a slot before it is missing: slot ${dropped.map(({ slot }) => slot).join(', ')}; -o json lists what is in it.`,
    );
  return lines;
}

function directoriesTable({ directories }: RecoveryPlan): string {
  const head = [
    'replica',
    'role',
    'log',
    'promised',
    'chosen',
    'accepted above',
    'applied',
    'revision',
    'state hash',
    'directory',
  ];
  const table = new Table({ head, style: STYLE });
  for (const each of directories) {
    const { replicaId, role, logDamage, promised, chosenThrough, accepted, state, directory } = each;
    table.push([
      String(replicaId ?? '?'),
      role ?? 'no member',
      logDamage === null ? 'ok' : 'DAMAGED',
      promised,
      String(chosenThrough),
      String(accepted),
      String(state?.appliedThrough ?? '-'),
      String(state?.revision ?? '-'),
      state?.stateHash ?? '-',
      directory,
    ]);
  }
  return table.toString();
}

function damages({ directories }: RecoveryPlan): string[] {
  return directories.flatMap(({ directory, incarnation, logDamage, stateDamage }) => [
    `${directory}: incarnation ${incarnation ?? 'not known'}`,
    ...(logDamage === null
      ? []
      : [`${directory}: its log counts as lost, but for what it says: ${logDamage}`]),
    ...(stateDamage === null ? [] : [`${directory}: its state is not used: ${stateDamage}`]),
  ]);
}

function quorumText({ voters }: RecoveryPlan): string[] {
  if (voters === null) return ['no survivor knows who the members are'];
  const { members, quorum, lost } = voters;
  const lostIds = members.filter(({ survived }) => !survived).map(({ replicaId }) => replicaId);
  const who = lost === 0 ? '' : `: ${lostIds.join(', ')}`;
  return [`${members.length} voters, ${quorum} have to accept; ${lost} lost${who}`];
}

function chosenText({ knownThrough, provenThrough, knownWallMs, startFrom }: RecoveryPlan): string {
  const time = knownWallMs === null ? '' : ` (${timeOf(knownWallMs)})`;
  const more = provenThrough > knownThrough ? `, proven through ${provenThrough}` : '';
  const who =
    startFrom === null ? '' : `; replica ${startFrom.replicaId ?? '?'} knows most: ${startFrom.directory}`;
  return `known chosen through slot ${knownThrough}${time}${more}${who}`;
}

function slotsTable({ slots }: RecoveryPlan): string[] {
  if (slots.length === 0) return ['no survivor has accepted anything above that'];
  const head = ['slot', 'verdict', 'kept', 'another value', 'ballot', 'held by', 'revisions', 'time', 'what'];
  const table = new Table({ head, style: STYLE });
  for (const planned of slots.slice(0, SLOTS_SHOWN)) table.push(slotCells(planned));
  const more = slots.length - SLOTS_SHOWN;
  return [table.toString(), ...(more > 0 ? [`… and ${more} more slots; -o json lists all`] : [])];
}

function slotCells(planned: PlannedSlot): string[] {
  const { slot, verdict, kept, unseen, acknowledged, ballot, holders, quorum, revisions, value } = planned;
  const what = value === null ? '' : value.type === 'batch' ? commandsText(value.commands) : value.type;
  return [
    String(slot),
    acknowledged ? verdict : `${verdict}, never acknowledged`,
    kept ? 'yes' : 'no',
    unseen ? 'POSSIBLE' : 'no',
    ballot ?? '-',
    ballot === null ? '-' : `${holders.join(',') || 'no voter'} (${quorum} choose)`,
    revisions === null ? '-' : revisions[0] === revisions[1] ? 'none' : `${revisions[0] + 1}-${revisions[1]}`,
    timeOf(value?.wallMs ?? null) ?? '',
    what,
  ];
}

function commandsText(commands: readonly DescribedCommand[]): string {
  const shown = commands.slice(0, COMMANDS_SHOWN).map((command) => {
    const { type, session, sequence, keys } = command;
    const by = sequence === 0 ? '' : ` [${operationId(session, sequence)}]`;
    return `${type} ${keys.map(printable).join(' ')}${by}`;
  });
  const more = commands.length - shown.length;
  return [...shown, ...(more > 0 ? [`… and ${more} more`] : [])].join('\n');
}

function recoveredText({ recovered, nothingLost }: RecoveryPlan): string[] {
  if (recovered === null) return [];
  const { base, baseSlot, slot, revision, stateHash, contentHash } = recovered;
  const from = base === null ? 'the logs alone' : `the state of ${base} at slot ${baseSlot}`;
  const flag = nothingLost ? '' : ' --accept-loss';
  return [
    `recovered: ${from}, and the logs through slot ${slot}: revision ${revision}, state ${stateHash}, contents ${contentHash}`,
    `next: kvctl recover apply --data NEW --peers 1=HOST:PORT,…${flag} and the same directories`,
  ];
}
