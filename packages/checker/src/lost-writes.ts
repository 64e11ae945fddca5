/**
 * Is every acknowledged write still there in the end, at every replica? Judged from final reads, one of each key and
 * replica after all clients have stopped and all replicas have caught up. What a key holds must be what some write left
 * that may have been the last: one that no acknowledged write of the key began after.
 *
 * Writes of unknown outcome may be the last as well, but are never lost. A key that was only ever added to holds the sum of
 * what was acknowledged and of some of what is unknown. Versions tell, too: uncounted.ts. What is left for the search to find
 * are final values that no order of all the answers leaves there.
 */
import { Findings } from './finding.js';
import { keysOf, onKey } from './group/on-key.js';
import { integerOf, keysOfMove, type Transition, writes } from './group/transition.js';
import type { FinalRead, History } from './operation.js';
import { type Group, partition } from './partition.js';
import type { Step } from './steps.js';
import { shown } from './text.js';
import { checkUncounted } from './uncounted.js';
import { nameOperation } from './wording.js';
import { takenRevision } from './written.js';

/** @throws HistoryError when the history is too large */
export function checkLostWrites(history: History): Findings {
  const findings = new Findings();
  checkFinals(history, findings);
  checkUncounted(history, findings);
  return findings;
}

function checkFinals(history: History, findings: Findings): void {
  const finals = history.finals ?? [];
  if (finals.length === 0) return;
  const { registers, groups } = partition(history);
  const byKey = transitionsByKey(groups);
  for (const [key, reads] of groupByKey(finals)) {
    const transitions = byKey.get(key) ?? [];
    const steps = (registers.get(key) ?? transitions.flatMap(stepsOf)).filter(
      (step) => step.sets !== undefined || step.appends !== undefined,
    );
    for (const read of reads) {
      checkFinal(history, steps, read, findings);
      checkSum(history, transitions, read, findings);
    }
    checkAgreement(key, reads, findings);
  }
}

/** A transition, and the place of one of its keys in the group. */
interface Placed {
  readonly transition: Transition;
  readonly place: number;
}

function transitionsByKey(groups: readonly Group[]): Map<string, Placed[]> {
  const byKey = new Map<string, Placed[]>();
  for (const { keys, transitions } of groups) {
    const ofPlaces = keys.map((key) => {
      const placed: Placed[] = [];
      byKey.set(key, placed);
      return placed;
    });
    for (const transition of transitions) {
      for (const place of keysOf(transition)) ofPlaces[place]?.push({ transition, place });
    }
  }
  return byKey;
}

/** One step for each way in which it may have taken effect. */
function stepsOf({ transition, place }: Placed): Step[] {
  return transition.ways.flatMap((way) => onKey({ ...transition, ways: [way] }, place) ?? []);
}

function checkSum(
  history: History,
  transitions: readonly Placed[],
  read: FinalRead,
  findings: Findings,
): void {
  const [initial, held] = [integerOf(history.initial ?? null), integerOf(read.value)];
  if (initial === undefined || held === undefined || transitions.length === 0) return;
  let [least, most] = [initial, initial];
  for (const { transition, place } of transitions) {
    const changes = transition.ways.map(({ moves }) => {
      return moves.filter((move) => writes(move) && keysOfMove(move).includes(place));
    });
    const sums: bigint[] = transition.end === Number.POSITIVE_INFINITY ? [0n] : [];
    for (const moves of changes) {
      if (moves.some(({ type }) => type !== 'add')) return;
      sums.push(moves.reduce((sum, move) => sum + (move.type === 'add' ? move.delta : 0n), 0n));
    }
    least += sums.reduce((a, b) => (b < a ? b : a));
    most += sums.reduce((a, b) => (b > a ? b : a));
  }
  if (least <= held && held <= most) return;
  const range = least === most ? String(least) : `from ${least} to ${most}`;
  const explanation = `replica ${read.replica} holds ${held} under ${shown(read.key)} in the end, but what was added comes to ${range}`;
  findings.add('sum-wrong', read.key, [], explanation);
}

function groupByKey(finals: readonly FinalRead[]): Map<string, FinalRead[]> {
  const groups = new Map<string, FinalRead[]>();
  for (const read of finals) {
    const group = groups.get(read.key) ?? [];
    group.push(read);
    groups.set(read.key, group);
  }
  return groups;
}

function checkFinal(history: History, steps: readonly Step[], read: FinalRead, findings: Findings): void {
  const newer = steps.filter((step) => {
    const operation = history.operations[step.operation];
    const revision = operation === undefined ? undefined : takenRevision(operation);
    return revision !== undefined && read.modRevision !== undefined && revision > read.modRevision;
  });
  for (const step of newer) tellLost(history, step, read, findings);
  if (newer.length > 0) return;
  const latestStart = steps
    .filter((step) => step.end !== Number.POSITIVE_INFINITY)
    .reduce((latest, step) => Math.max(latest, step.start), Number.NEGATIVE_INFINITY);
  const last = steps.filter((step) => step.end >= latestStart);
  const acknowledged = last.filter((step) => step.end !== Number.POSITIVE_INFINITY);
  const isUntouched = acknowledged.length === 0 && read.value === (history.initial ?? null);
  if (isUntouched || last.some((step) => leaves(step, read))) return;
  for (const step of acknowledged) tellLost(history, step, read, findings);
  if (acknowledged.length === 0) {
    const explanation = `replica ${read.replica} holds ${shown(read.value)} under ${shown(read.key)} in the end, which nobody wrote`;
    findings.add('lost-write', read.key, [], explanation);
  }
}

/** May `read` find what `step` left? */
function leaves(step: Step, read: FinalRead): boolean {
  if (step.appends !== undefined) return read.value !== null && read.value.endsWith(step.appends);
  return step.sets === read.value;
}

function tellLost(history: History, step: Step, read: FinalRead, findings: Findings): void {
  const operation = history.operations[step.operation];
  if (operation === undefined) return;
  const at = read.modRevision === undefined ? '' : ` of revision ${read.modRevision}`;
  const explanation =
    `${nameOperation(operation, step.operation)} was acknowledged, ` +
    `but replica ${read.replica} holds ${shown(read.value)}${at} in the end`;
  findings.add('lost-write', read.key, [step.operation], explanation);
}

function checkAgreement(key: string, reads: readonly FinalRead[], findings: Findings): void {
  const [first, ...others] = reads;
  for (const other of others) {
    const sameRevision =
      first?.modRevision === undefined ||
      other.modRevision === undefined ||
      first.modRevision === other.modRevision;
    if (first === undefined || (first.value === other.value && sameRevision)) continue;
    const explanation =
      `in the end replica ${first.replica} holds ${word(first)} under ${shown(key)}, ` +
      `but replica ${other.replica} ${word(other)}`;
    findings.add('replicas-differ', key, [], explanation);
  }
}

function word(read: FinalRead): string {
  return read.modRevision === undefined
    ? shown(read.value)
    : `${shown(read.value)} (revision ${read.modRevision})`;
}
