/** A report in plain text, for a terminal or a log. */
import type { FindingList, HistoryReport } from './check.js';
import { withFinalReads } from './final-reads.js';
import type { Violation } from './linearizability.js';
import type { History } from './operation.js';
import { printable } from './text.js';
import { type Bar, latestOf, makeTimeline } from './timeline.js';
import { wordKeys, wordOperation, wordTime } from './wording.js';

/** Bars are drawn up to so many operations; more are listed. */
const DRAWN_MAX = 16;
const LISTED_MAX = 100;
/** Characters of all columns together, and of one. */
const DRAWING_WIDTH = 100;
const COLUMN_WIDTHS = { min: 5, max: 12 };
const FINDINGS_SHOWN = 10;

/** The whole report; several lines, without a line end after the last. */
export function textReport(history: History, report: HistoryReport): string {
  const { linearizability, operations, acknowledged, failed, unknown, lost, repeated, revisions } = report;
  const lines = [
    `${plural(operations, 'operation')} on ${plural(linearizability.keys, 'key')}: ${acknowledged} ok, ${failed} failed, ${unknown} unknown`,
    verdictLine(report),
  ];
  for (const violation of linearizability.violations) lines.push('', ...violationLines(history, violation));
  const hidden = linearizability.violationsHidden;
  if (hidden > 0) lines.push('', `… and ${plural(hidden, 'more violation')}, not shown`);
  lines.push(...findingLines('Acknowledged writes lost', lost));
  lines.push(...findingLines('Operations applied twice', repeated));
  lines.push(...findingLines('Revisions that do not fit', revisions));
  return lines.map((line) => printable(line.trimEnd())).join('\n');
}

function verdictLine({ linearizability, verdict }: HistoryReport): string {
  const { violatedKeys, undecidedKeys } = linearizability;
  switch (linearizability.verdict) {
    case 'violated':
      return `NOT LINEARIZABLE: ${plural(violatedKeys.length, 'key')}`;
    case 'undecided':
      return `UNDECIDED within the limit on ${plural(undecidedKeys.length, 'key')}, linearizable on all others`;
    case 'linearizable':
      return verdict === 'ok' ? 'LINEARIZABLE' : 'LINEARIZABLE, BUT WRONG: see below';
  }
}

/** One violation: the sentence, the bars, the operations in full. */
export function violationLines(told: History, violation: Violation): string[] {
  const history = withFinalReads(told);
  const { keys, operations, explanation, minimal } = violation;
  const { shown: listed, hidden } = latestOf(violation, LISTED_MAX);
  const size =
    operations.length === 1 ? 'one operation that cannot be' : `${operations.length} operations in no order`;
  return [
    `${wordKeys(keys)}: ${size}${minimal ? '' : ', perhaps more than it takes'}`,
    `  ${explanation}`,
    '',
    ...(operations.length <= DRAWN_MAX ? drawing(history, violation) : []),
    ...(hidden > 0 ? [`  … ${hidden} earlier ones`] : []),
    ...listed.operations.map((index) => operationLine(history, violation, index)),
  ].map(printable);
}

function operationLine(history: History, violation: Violation, index: number): string {
  const operation = history.operations[index];
  if (operation === undefined) return '';
  const where = operation.line === undefined ? `#${index}` : `line ${operation.line}`;
  const notes = [where];
  if (violation.open.includes(index) && operation.outcome === 'ok') notes.push('had not ended yet');
  if (violation.effectOnly.includes(index)) notes.push('only its effect counts here');
  const mark = index === violation.culprit ? '>' : ' ';
  const times = `${wordTime(operation.start)} to ${wordTime(operation.outcome === 'unknown' ? null : operation.end)}`;
  return `${mark} client ${operation.client}  ${wordOperation(operation)}  from ${times} (${notes.join(', ')})`;
}

function drawing(history: History, violation: Violation): string[] {
  const { rows, times } = makeTimeline(history, violation);
  const names = rows.map(({ client }) => printable(client));
  const width = Math.max(...names.map((name) => name.length), 6);
  const fitting = Math.floor(DRAWING_WIDTH / times.length);
  const column = Math.min(COLUMN_WIDTHS.max, Math.max(COLUMN_WIDTHS.min, fitting));
  const lines = rows.map(({ bars }, row) => {
    let line = '';
    for (const bar of bars)
      line = line.padEnd(bar.from * column) + drawBar(bar, column, times.length, violation.keys.length > 1);
    return `  ${names[row]?.padEnd(width)}  ${line}`;
  });
  return [...lines, ''];
}

function drawBar(bar: Bar, column: number, columns: number, key: boolean): string {
  const isOpen = bar.to === Number.POSITIVE_INFINITY;
  const room = ((isOpen ? columns : bar.to + 1) - bar.from) * column - 3;
  const label = wordOperation(bar.operation, { key });
  const fitting =
    label.length <= room ? label.padEnd(room, '-') : `${label.slice(0, Math.max(0, room - 1))}…`;
  const [left, right] = bar.role === 'culprit' ? ['[', ']'] : ['|', '|'];
  return `${left}${fitting}${isOpen ? '..' : right}`;
}

function findingLines(title: string, { count, list }: FindingList): string[] {
  if (count === 0) return [];
  const lines = ['', `${title}: ${count}`];
  for (const { explanation } of list.slice(0, FINDINGS_SHOWN)) lines.push(`  ${explanation}`);
  if (count > FINDINGS_SHOWN) lines.push(`  … and ${count - FINDINGS_SHOWN} more`);
  return lines;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
