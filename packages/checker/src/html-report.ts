/**
 * A report as one HTML page that needs nothing else: no script, no font, no address. Everything that comes from a history is
 * escaped, and the page forbids itself to load anything.
 */
import type { FindingList, HistoryReport } from './check.js';
import { withFinalReads } from './final-reads.js';
import type { Violation } from './linearizability.js';
import type { History } from './operation.js';
import { type Bar, contextOf, latestOf, makeTimeline, type Timeline } from './timeline.js';
import { wordKeys, wordOperation, wordTime } from './wording.js';

export interface HtmlOptions {
  /** Default "History". */
  readonly title?: string;
  /** Trusted HTML between the verdict and the violations, e.g. what a drill injected when. */
  readonly details?: string;
}

const CONTEXT_MAX = 60;
const OPERATIONS_MAX = 200;
const COLUMN = 160;
const COLUMN_MIN = 14;
const CHART_WIDTH = 1300;
const ROW = 34;
/** Below the rows: the times. */
const FOOT = 24;
const LEFT = 110;
const CHARACTER = 7;

/** Text as HTML shows it; also what XML and HTML allow in no form is replaced. */
export function escapeHtml(text: string): string {
  return text
    .replace(/[\p{Surrogate}\p{Control}\ufffe\uffff]/gu, (character) => {
      return character === '\n' || character === '\t' ? character : '\ufffd';
    })
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function htmlReport(history: History, report: HistoryReport, options: HtmlOptions = {}): string {
  const title = escapeHtml(options.title ?? 'History');
  const { linearizability, lost, repeated, revisions } = report;
  const hidden = linearizability.violationsHidden;
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8" />',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />`,
    '<meta name="viewport" content="width=device-width" />',
    `<title>${title}</title>`,
    `<style>${REPORT_STYLE}</style>`,
    '</head>',
    '<body>',
    `<h1>${title}</h1>`,
    verdictHtml(report),
    countsHtml(report),
    options.details ?? '',
    ...linearizability.violations.map((violation) => violationHtml(history, violation)),
    hidden > 0 ? `<p>… and ${hidden} more, not shown.</p>` : '',
    findingsHtml('Acknowledged writes lost', lost),
    findingsHtml('Operations applied twice', repeated),
    findingsHtml('Revisions that do not fit', revisions),
    '</body>',
    '</html>',
    '',
  ]
    .filter((part, index, parts) => part !== '' || index === parts.length - 1)
    .join('\n');
}

/** One violation as a section of a page that has REPORT_STYLE. */
export function violationHtml(told: History, violation: Violation): string {
  const history = withFinalReads(told);
  const { keys, operations, explanation, minimal } = violation;
  const { shown: listed, hidden } = latestOf(violation, OPERATIONS_MAX);
  const size =
    operations.length === 1 ? 'one operation that cannot be' : `${operations.length} operations in no order`;
  return [
    '<section>',
    `<h2>${escapeHtml(wordKeys(keys))}: ${size}${minimal ? '' : ', perhaps more than it takes'}</h2>`,
    `<p>${escapeHtml(explanation)}.</p>`,
    chart(makeTimeline(history, listed, contextOf(history, violation, CONTEXT_MAX)), violation),
    '<p class="legend">',
    '<span class="swatch culprit"></span> cannot be answered so after',
    '<span class="swatch piece"></span> these;',
    '<span class="swatch context"></span> other operations on the key at that time.',
    'Columns are starts and ends in their order, not to scale. An open right end: it never ended, or not in time to matter.',
    'Point at a bar for its details.</p>',
    '<table>',
    '<tr><th>client</th><th>operation</th><th>from</th><th>to</th><th></th></tr>',
    ...(hidden > 0 ? [`<tr><td></td><td>… ${hidden} earlier ones</td></tr>`] : []),
    ...listed.operations.map((index) => operationRow(history, violation, index)),
    '</table>',
    '</section>',
  ].join('\n');
}

function verdictHtml({ verdict, linearizability }: HistoryReport): string {
  const words = {
    ok: 'Linearizable',
    violated: linearizability.verdict === 'violated' ? 'Not linearizable' : 'Linearizable, but wrong',
    undecided: 'Undecided',
  };
  return `<p class="verdict ${verdict}">${words[verdict]}</p>`;
}

function countsHtml({ linearizability, ...report }: HistoryReport): string {
  const facts: [string, number][] = [
    ['operations', report.operations],
    ['acknowledged', report.acknowledged],
    ['failed', report.failed],
    ['unknown', report.unknown],
    ['keys', linearizability.keys],
  ];
  const faults: [string, number][] = [
    ['keys not linearizable', linearizability.violatedKeys.length],
    ['keys undecided', linearizability.undecidedKeys.length],
    ['acknowledged writes lost', report.lost.count],
    ['operations applied twice', report.repeated.count],
    ['revisions that do not fit', report.revisions.count],
  ];
  const cells = [...facts, ...faults].map(([name, count], i) => {
    const isFault = i >= facts.length && count > 0;
    return `<div${isFault ? ' class="fault"' : ''}><dt>${name}</dt><dd>${count}</dd></div>`;
  });
  return `<dl class="counts">${cells.join('')}</dl>`;
}

function findingsHtml(title: string, { count, list }: FindingList): string {
  if (count === 0) return '';
  const items = list.map(({ explanation }) => `<li>${escapeHtml(explanation)}</li>`);
  if (count > list.length) items.push(`<li>… and ${count - list.length} more</li>`);
  return `<section><h2>${title}: ${count}</h2><ul>${items.join('')}</ul></section>`;
}

function operationRow(history: History, violation: Violation, index: number): string {
  const operation = history.operations[index];
  if (operation === undefined) return '';
  const notes: string[] = [];
  if (operation.line !== undefined) notes.push(`line ${operation.line}`);
  if (violation.open.includes(index) && operation.outcome === 'ok') notes.push('had not ended yet');
  if (violation.effectOnly.includes(index)) notes.push('only its effect counts here');
  const cells = [
    operation.client,
    wordOperation(operation),
    wordTime(operation.start),
    wordTime(operation.outcome === 'unknown' ? null : operation.end),
    notes.join(', '),
  ].map((text) => `<td>${escapeHtml(text)}</td>`);
  return `<tr${index === violation.culprit ? ' class="culprit"' : ''}>${cells.join('')}</tr>`;
}

function chart({ rows, times }: Timeline, violation: Violation): string {
  const column = Math.max(COLUMN_MIN, Math.min(COLUMN, CHART_WIDTH / (times.length + 1)));
  const width = Math.round(LEFT + (times.length + 1) * column);
  const height = rows.length * ROW + FOOT;
  const bars = rows.flatMap(({ bars: ofRow }, row) =>
    ofRow.map((bar, i) => {
      // A label may go on behind its bar, up to the next one.
      const free = LEFT + (ofRow[i + 1]?.from ?? times.length + 1) * column;
      return barSvg(bar, row, column, width, free, violation);
    }),
  );
  const names = rows.map(({ client }, row) => {
    const y = row * ROW + ROW / 2 + 4;
    return `<text class="client" x="4" y="${y}">${escapeHtml(clip(client, LEFT))}</text>`;
  });
  const every = Math.ceil((10 * CHARACTER) / column);
  const ticks = times.flatMap((time, place) => {
    const x = Math.round(LEFT + place * column);
    const line = `<line class="tick" x1="${x}" y1="0" x2="${x}" y2="${rows.length * ROW}" />`;
    if (place % every !== 0) return [line];
    return [
      line,
      `<text class="time" x="${x}" y="${rows.length * ROW + 16}">${escapeHtml(wordTime(time))}</text>`,
    ];
  });
  return [
    '<div class="chart">',
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" role="img" aria-label="operations over time">`,
    ...ticks,
    ...names,
    ...bars,
    '</svg>',
    '</div>',
  ].join('\n');
}

function barSvg(
  bar: Bar,
  row: number,
  column: number,
  width: number,
  free: number,
  violation: Violation,
): string {
  const { operation, from, to, role } = bar;
  const isOpen = to === Number.POSITIVE_INFINITY;
  const x = Math.round(LEFT + from * column);
  const right = isOpen ? width - 4 : Math.round(LEFT + to * column);
  const barWidth = Math.max(6, right - x);
  const y = row * ROW + 5;
  const label = clip(
    wordOperation(operation, { key: violation.keys.length > 1 }),
    Math.max(barWidth, free - x) - 10,
  );
  const classes = ['bar', role, ...(isOpen ? ['open'] : [])].join(' ');
  return [
    `<g class="${classes}"><title>${escapeHtml(details(bar, violation))}</title>`,
    `<rect x="${x}" y="${y}" width="${barWidth}" height="${ROW - 10}" rx="4" />`,
    `<text x="${x + 5}" y="${y + 16}">${escapeHtml(label)}</text></g>`,
  ].join('');
}

function details({ operation, index }: Bar, violation: Violation): string {
  const lines = [
    wordOperation(operation),
    `client ${operation.client}`,
    `from ${wordTime(operation.start)} to ${wordTime(operation.end)}, ${operation.outcome}`,
    operation.line === undefined ? `operation ${index}` : `line ${operation.line}`,
  ];
  if ('revision' in operation) lines.push(`revision ${operation.revision}`);
  if ('modRevision' in operation) lines.push(`modRevision ${operation.modRevision}`);
  if (operation.error !== undefined) lines.push(operation.error);
  if (violation.open.includes(index) && operation.outcome === 'ok')
    lines.push('had not ended yet when it matters');
  if (violation.effectOnly.includes(index)) lines.push('only its effect counts here');
  return lines.join('\n');
}

/** As much of `text` as `width` pixels hold. */
function clip(text: string, width: number): string {
  const most = Math.max(0, Math.floor(width / CHARACTER));
  if (text.length <= most) return text;
  return most < 3 ? '' : `${text.slice(0, most - 1)}…`;
}

export const REPORT_STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1600px; padding: 0 1.5rem;
  color: #1d2733; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
code, svg text, td { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; }
.verdict { display: inline-block; padding: .35rem .9rem; border-radius: .4rem; font-weight: 600; color: #fff; }
.verdict.ok { background: #1f7a4d; } .verdict.violated { background: #b3261e; } .verdict.undecided { background: #8a6100; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
th { font-weight: 500; color: #5b6776; font-size: 13px; } td { overflow-wrap: anywhere; }
tr.culprit td { color: #b3261e; font-weight: 600; }
.counts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 1rem 0; }
dt { color: #5b6776; font-size: 13px; } dd { margin: 0; font-size: 1.2rem; } .fault dd { color: #b3261e; font-weight: 600; }
.chart { overflow-x: auto; border: 1px solid #dfe4ea; border-radius: .4rem; padding: .5rem; }
.tick { stroke: #eef1f4; } .time { fill: #7a8694; } .client { fill: #5b6776; }
.bar rect { stroke-width: 1.5; } .bar text { pointer-events: none; fill: #1d2733; }
.bar.piece rect, .swatch.piece { fill: #cfe0fb; stroke: #2f62b5; background: #cfe0fb; }
.bar.culprit rect, .swatch.culprit { fill: #f9cfcb; stroke: #b3261e; background: #f9cfcb; }
.bar.context rect, .swatch.context { fill: #f3f5f7; stroke: #c6ced8; background: #f3f5f7; } .bar.context text { fill: #8b96a3; }
.bar.open rect { stroke-dasharray: 5 3; } .bar:hover rect { stroke-width: 3; }
.swatch { display: inline-block; width: 1em; height: 1em; border-radius: 3px; vertical-align: -2px; }
.legend { color: #5b6776; font-size: 13px; }
`;
