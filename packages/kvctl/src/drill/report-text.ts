/** The verdict on a drill as text for a person. Pure. */
import { violationLines } from '@kvd/checker';
import { styleText } from 'node:util';
import { dataLines } from './model/report.js';
import { type DrillResult, findingsOf, type FinishedDrill } from './result.js';

const INJECTIONS_SHOWN = 12;
const FINDINGS_SHOWN = 5;
const VIOLATION_LINES_SHOWN = 24;
const LABEL_WIDTH = 14;
/** What an operation was answered may be long. The report and the history have all of it. */
const LINE_CHARACTERS_MAX = 300;

/** `colour`: for a terminal. */
export function resultText(result: DrillResult, colour: boolean): string {
  const { name, replicas, clients, seed } = result;
  if (result.verdict === 'skipped') return `${name}: ${painted('skipped', colour)}  ${result.reason}`;
  const title = `${name}: ${painted(result.verdict, colour)}  ${replicas} replicas, ${clients} clients, seed ${seed}, ${seconds(result.tookMs)} of load`;
  return [
    title,
    ...lines(result).map(([label, text]) => `  ${label.padEnd(LABEL_WIDTH)}${clipped(text)}`),
  ].join('\n');
}

/** How many passed, for the end of a run of several. */
export function summaryText(results: readonly DrillResult[]): string {
  const count = (verdict: DrillResult['verdict']): number =>
    results.filter((result) => result.verdict === verdict).length;
  return `${count('passed')} drills passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}

/** `+1.2 s`, since the load began. */
export function at(ms: number): string {
  return `+${(ms / 1000).toFixed(1)} s`;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function lines(result: FinishedDrill): [string, string][] {
  const { report, data, longestGap } = result;
  const { operations, acknowledged, failed, unknown, linearizability } = report;
  const told: [string, string][] = [
    [
      'operations',
      `${number(operations)} tried: ${number(acknowledged)} acknowledged, ${number(failed)} refused, ${number(unknown)} unknown`,
    ],
    [
      'longest break',
      `${Math.round(longestGap.ms)} ms without a success of anybody, at ${at(longestGap.atMs)}`,
    ],
    ...labelled('injected', injectionLines(result)),
    ['linearizable', linearizableText(result)],
  ];
  for (const violation of linearizability.violations.slice(0, 1)) {
    const all = violationLines(result.history, violation);
    const more = all.length - VIOLATION_LINES_SHOWN;
    told.push(...labelled('', more > 0 ? [...all.slice(0, VIOLATION_LINES_SHOWN), `… ${more} more`] : all));
  }
  const wrong = report.revisions.count;
  told.push([
    'exactly once',
    `lost ${report.lost.count}, repeated ${report.repeated.count + data.repeated}, revisions ${wrong === 0 ? 'in order' : `wrong in ${wrong} places`}`,
  ]);
  told.push(...dataLines(data));
  const findings = findingsOf(result).slice(0, FINDINGS_SHOWN);
  told.push(...labelled('wrong', findings));
  for (const check of result.checks) {
    told.push([check.ok ? 'ok' : 'NOT OK', `${check.name}: ${check.detail}`]);
  }
  if (result.scratch !== null)
    told.push(['kept', `logs, data and the history (for kvctl check) are in ${result.scratch}`]);
  return told;
}

function injectionLines({ injections }: FinishedDrill): string[] {
  const shownLines = injections.slice(0, INJECTIONS_SHOWN).map(({ atMs, what }) => `${at(atMs)}  ${what}`);
  const more = injections.length - shownLines.length;
  return more > 0 ? [...shownLines, `… and ${more} more`] : shownLines;
}

function linearizableText({ report }: FinishedDrill): string {
  const { verdict, keys, violatedKeys, undecidedKeys } = report.linearizability;
  if (verdict === 'linearizable') return `yes, ${keys} keys`;
  if (verdict === 'violated') return `NO: ${violatedKeys.length} of ${keys} keys cannot be ordered`;
  return `undecided: ${undecidedKeys.length} of ${keys} keys took too long to judge`;
}

/** The label at the first line only. */
function labelled(label: string, texts: readonly string[]): [string, string][] {
  return texts.map((text, index) => [index === 0 ? label : '', text]);
}

function clipped(text: string): string {
  return text.length <= LINE_CHARACTERS_MAX ? text : `${text.slice(0, LINE_CHARACTERS_MAX)}…`;
}

function number(count: number): string {
  return count.toLocaleString('en');
}

function painted(verdict: DrillResult['verdict'], colour: boolean): string {
  const text = verdict.toUpperCase();
  if (!colour) return text;
  const format = verdict === 'passed' ? 'green' : verdict === 'failed' ? 'red' : 'yellow';
  return styleText(format, text, { validateStream: false });
}
