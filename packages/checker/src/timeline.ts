/**
 * Where the operations of a violation are drawn: a row for each operation of a client that overlaps no other there, a column
 * for each start and end. Columns are in the order of time, not to scale, so that a burst and a pause are both readable.
 */
import type { Violation } from './linearizability.js';
import type { History, Operation } from './operation.js';
import { namedKeys } from './transactions.js';

export interface Bar {
  readonly operation: Operation;
  /** In the history. */
  readonly index: number;
  readonly from: number;
  /** Infinity: it never ended, or its end does not count. */
  readonly to: number;
  readonly role: 'culprit' | 'piece' | 'context';
}

export interface Row {
  readonly client: string;
  readonly bars: readonly Bar[];
}

export interface Timeline {
  readonly rows: readonly Row[];
  /** The time of each column. */
  readonly times: readonly number[];
}

/** @param context indices of operations to show besides */
export function makeTimeline(
  history: History,
  violation: Violation,
  context: readonly number[] = [],
): Timeline {
  const inPiece = new Set(violation.operations);
  const open = new Set(violation.open);
  const indices = [...violation.operations, ...context.filter((index) => !inPiece.has(index))];
  const events: { time: number; index: number; isEnd: boolean }[] = [];
  for (const index of indices) {
    const operation = history.operations[index];
    if (operation === undefined) continue;
    events.push({ time: operation.start, index, isEnd: false });
    const isOpen = open.has(index) || operation.outcome === 'unknown' || operation.end === null;
    if (!isOpen) events.push({ time: operation.end ?? 0, index, isEnd: true });
  }
  events.sort((a, b) => a.time - b.time || Number(a.isEnd) - Number(b.isEnd) || a.index - b.index);
  const [from, to] = [new Map<number, number>(), new Map<number, number>()];
  events.forEach(({ index, isEnd }, column) => (isEnd ? to : from).set(index, column));
  const bars = [...from].map(([index, column]): Bar => {
    const role = index === violation.culprit ? 'culprit' : inPiece.has(index) ? 'piece' : 'context';
    return {
      operation: history.operations[index] as Operation,
      index,
      from: column,
      to: to.get(index) ?? Number.POSITIVE_INFINITY,
      role,
    };
  });
  return { rows: rowsOf(bars), times: events.map(({ time }) => time) };
}

/** The violation with its latest operations only, if it has more than `most`. */
export function latestOf(violation: Violation, most: number): { shown: Violation; hidden: number } {
  const hidden = Math.max(0, violation.operations.length - most);
  return {
    shown: hidden === 0 ? violation : { ...violation, operations: violation.operations.slice(hidden) },
    hidden,
  };
}

/** Operations of the same context: of its keys, under way between the first start and the last end of the piece. */
export function contextOf(history: History, violation: Violation, most: number): readonly number[] {
  const culprit = history.operations[violation.culprit];
  const starts = violation.operations.map((index) => startOf(history, index));
  const first = starts.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const last = culprit?.end ?? starts.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const near: number[] = [];
  const [keys, inPiece] = [new Set(violation.keys), new Set(violation.operations)];
  history.operations.forEach((operation, index) => {
    const isOfKey = operation.op !== 'scan' && namedKeys(operation).some((key) => keys.has(key));
    const isNear = operation.start <= last && (operation.end ?? Number.POSITIVE_INFINITY) >= first;
    if (isOfKey && isNear && !inPiece.has(index)) near.push(index);
  });
  // The latest are nearest to the culprit.
  return near.sort((a, b) => startOf(history, a) - startOf(history, b)).slice(-most);
}

function startOf(history: History, index: number): number {
  return history.operations[index]?.start ?? 0;
}

function rowsOf(bars: readonly Bar[]): Row[] {
  const rows: { client: string; bars: Bar[] }[] = [];
  for (const bar of [...bars].sort((a, b) => a.from - b.from)) {
    const { client } = bar.operation;
    const free = rows.find((row) => row.client === client && (row.bars.at(-1)?.to ?? -1) < bar.from);
    if (free === undefined) rows.push({ client, bars: [bar] });
    else free.bars.push(bar);
  }
  return rows.sort((a, b) => compareNames(a.client, b.client));
}

function compareNames(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
