/** What came of the transactions and watchers of a drill, and how it is told. Pure. */
import { ACCOUNT_KEYS, BANK_TOTAL } from './calls.js';

export interface WatcherReport {
  readonly name: string;
  readonly events: number;
  readonly moves: number | null;
}

export interface DataReport {
  /** False: the history could not be read to its end. */
  readonly isJudged: boolean;
  /** Of the cluster in the end. */
  readonly revision: number;
  /** Revisions beyond the first of an operation, or beyond those that operations can have taken. */
  readonly repeated: number;
  readonly bank: {
    /** Acknowledged, or found to have been done when asked. */
    readonly transfers: number;
    readonly conflicts: number;
    readonly refused: number;
    readonly unknown: number;
    readonly unknownDone: number;
    readonly audits: number;
  };
  readonly counter: {
    readonly acknowledged: number;
    readonly unknown: number;
    /** Of the unknown: found to have been done when asked. */
    readonly unknownDone: number;
    /** Of the unknown: nobody can say. */
    readonly open: number;
    /** What it counts to in the end. */
    readonly value: number;
  };
  readonly watchers: readonly WatcherReport[];
  /** What is wrong, and with what. */
  readonly findings: readonly Finding[];
}

export interface Finding {
  readonly about: 'bank' | 'counter' | 'watchers' | 'history';
  readonly text: string;
}

/** What the lines of a report are called, and what they say. */
export function dataLines(report: DataReport): [string, string][] {
  const { bank, counter, watchers, revision } = report;
  // The accounts are opened first of all.
  if (revision === 0 || !report.isJudged) return [['transactions', 'NOT JUDGED: the history cannot be read']];
  const moves = watchers.reduce((sum, watcher) => sum + (watcher.moves ?? 0), 0);
  const wrong = (about: Finding['about']) => report.findings.some((finding) => finding.about === about);
  const total = `${number(BANK_TOTAL)} on ${ACCOUNT_KEYS.length} accounts`;
  const asked = (all: number, done: number) =>
    all === 0 ? '' : `, ${all} unknown of which ${done} were done`;
  const { acknowledged, unknown, unknownDone, open, value } = counter;
  const additions =
    `counted to ${number(value)}: ${number(acknowledged)} acknowledged` +
    asked(unknown, unknownDone) +
    (open === 0 ? '' : `, ${open} cannot be told`);
  return [
    [
      'bank',
      `${wrong('bank') ? 'WRONG: not always ' : ''}${total}: ${number(bank.transfers)} transfers, ` +
        `${number(bank.conflicts)} in conflict${asked(bank.unknown, bank.unknownDone)}; ` +
        `added up after each, and in ${number(bank.audits)} scans`,
    ],
    ['counter', `${wrong('counter') ? 'WRONG: ' : ''}${additions}`],
    [
      'watchers',
      wrong('watchers')
        ? 'WRONG: not all of them saw what the history says'
        : `all ${watchers.length} saw the ${number(revision)} revisions of the history, in order, once; ` +
          `went on ${moves} times after a break`,
    ],
  ];
}

function number(count: number): string {
  return count.toLocaleString('en');
}
