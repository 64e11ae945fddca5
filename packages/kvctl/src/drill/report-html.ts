/**
 * The results of drills as one HTML page that needs nothing else: no script, no font, no image from anywhere. Everything
 * that came from outside this program is escaped. Pure.
 */
import { escapeHtml, REPORT_STYLE, violationHtml } from '@kvd/checker';
import { at, seconds } from './report-text.js';
import { dataLines } from './model/report.js';
import { type DrillResult, findingsOf, type FinishedDrill } from './result.js';

const WIDTH = 900;
const CHART_HEIGHT = 140;
const AXIS_HEIGHT = 18;
const BUCKETS = 150;
const VIOLATIONS_SHOWN = 3;
const FINDINGS_SHOWN = 20;

const STYLE = `${REPORT_STYLE}
body { max-width: 1000px; } h2.drill { border-top: 1px solid #d5dae2; padding-top: 1rem; }
.passed { color: #14733a; } .failed { color: #b3261e; } .skipped { color: #8a6100; }
.outcome { font-weight: 600; } .about { color: #55606f; } svg.load { display: block; margin: .7rem 0; max-width: 100%; }
svg.load text { font: 11px system-ui, sans-serif; fill: #1c2430; } ol { columns: 2; }
`;

export function reportPage(results: readonly DrillResult[], madeAt: string): string {
  const failed = results.filter((result) => result.verdict === 'failed').length;
  const title = `kvd drills: ${failed === 0 ? 'nothing failed' : `${failed} failed`}`;
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    `<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${escapeHtml(title)}</h1><p class="about">Made ${escapeHtml(madeAt)} by <code>kvctl drill run</code>.</p>`,
    summaryTable(results),
    ...results.map(section),
    '</body></html>',
    '',
  ].join('\n');
}

function summaryTable(results: readonly DrillResult[]): string {
  const rows = results.map((result) => {
    const cells =
      result.verdict === 'skipped'
        ? [result.reason, '', '', '']
        : [
            String(result.report.operations),
            String(result.report.acknowledged),
            String(result.report.unknown),
            `${Math.round(result.longestGap.ms)} ms`,
          ];
    const name = `<a href="#${escapeHtml(result.name)}">${escapeHtml(result.name)}</a>`;
    return `<tr><td>${name}</td><td>${verdictOf(result)}</td>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
  });
  const heads = ['drill', 'verdict', 'operations', 'acknowledged', 'unknown', 'longest break'];
  return `<table><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr>${rows.join('')}</table>`;
}

function verdictOf({ verdict }: DrillResult): string {
  return `<span class="outcome ${verdict}">${verdict}</span>`;
}

function section(result: DrillResult): string {
  const { name, about, replicas, clients, seed } = result;
  const head =
    `<h2 class="drill" id="${escapeHtml(name)}">${escapeHtml(name)}: ${verdictOf(result)}</h2><p class="about">${escapeHtml(about)}</p>` +
    `<p>${replicas} replicas, ${clients} clients, seed ${seed}</p>`;
  if (result.verdict === 'skipped') return `${head}<p>Skipped: ${escapeHtml(result.reason)}</p>`;
  return [
    head,
    chart(result),
    injectionList(result),
    verdictTable(result),
    ...result.report.linearizability.violations
      .slice(0, VIOLATIONS_SHOWN)
      .map((violation) => violationHtml(result.history, violation)),
    findingList(result),
  ].join('\n');
}

/** Successes a second over time, with a numbered mark at every injection. */
function chart(result: FinishedDrill): string {
  const spanMs = Math.max(1, result.tookMs);
  const bucketMs = spanMs / BUCKETS;
  const counts = Array.from({ length: BUCKETS }, () => 0);
  for (const { outcome, end } of result.history.operations) {
    const bucket = outcome === 'ok' && end !== null ? Math.floor(end / bucketMs) : -1;
    if (bucket >= 0 && bucket < BUCKETS) counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  const most = Math.max(1, ...counts);
  const bars = counts.map((count, index) => {
    const height = (count / most) * (CHART_HEIGHT - AXIS_HEIGHT);
    const place = `x="${round((index / BUCKETS) * WIDTH)}" y="${round(CHART_HEIGHT - height)}"`;
    return `<rect ${place} width="${round(WIDTH / BUCKETS - 0.5)}" height="${round(height)}" fill="#4a7ebb"/>`;
  });
  const marks = result.injections.map(({ atMs, what }, index) => {
    const x = round((atMs / spanMs) * WIDTH);
    return (
      `<g><title>${escapeHtml(`${index + 1}: ${at(atMs)} ${what}`)}</title>` +
      `<line x1="${x}" x2="${x}" y1="${AXIS_HEIGHT - 4}" y2="${CHART_HEIGHT}" stroke="#b3261e" stroke-dasharray="3 2"/>` +
      `<text x="${x}" y="11" text-anchor="middle">${index + 1}</text></g>`
    );
  });
  const perSecond = Math.round((most / bucketMs) * 1000);
  return [
    `<svg class="load" viewBox="0 0 ${WIDTH} ${CHART_HEIGHT + AXIS_HEIGHT}" role="img" aria-label="successes over time">`,
    ...bars,
    ...marks,
    `<text x="0" y="${CHART_HEIGHT + 14}">0 s; highest bar ${perSecond} successes a second</text>`,
    `<text x="${WIDTH}" y="${CHART_HEIGHT + 14}" text-anchor="end">${seconds(spanMs)}</text></svg>`,
  ].join('');
}

function injectionList({ injections }: FinishedDrill): string {
  const items = injections.map(({ atMs, what }) => `<li>${escapeHtml(`${at(atMs)} ${what}`)}</li>`);
  return `<ol>${items.join('')}</ol>`;
}

function verdictTable(result: FinishedDrill): string {
  const { report, data, longestGap, stateHash, checks } = result;
  const { linearizability } = report;
  const rows: [string, string][] = [
    [
      'operations',
      `${report.operations} tried: ${report.acknowledged} acknowledged, ${report.failed} refused, ${report.unknown} unknown`,
    ],
    ['longest time without a success', `${Math.round(longestGap.ms)} ms, from ${at(longestGap.atMs)}`],
    ['linearizable', `${linearizability.verdict}, ${linearizability.keys} keys`],
    ['lost writes', String(report.lost.count)],
    ['repeated operations', String(report.repeated.count + data.repeated)],
    ['revisions that do not fit', String(report.revisions.count)],
    ...dataLines(data),
    ['state hash of all replicas', stateHash ?? 'they differ, or not all could be asked'],
    ...checks.map(({ name, ok, detail }): [string, string] => [name, `${ok ? 'yes' : 'NO'}: ${detail}`]),
  ];
  const cells = rows.map(
    ([name, text]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(text)}</td></tr>`,
  );
  return `<table>${cells.join('')}</table>`;
}

function findingList(result: FinishedDrill): string {
  const findings = findingsOf(result);
  if (findings.length === 0) return '';
  const items = findings.slice(0, FINDINGS_SHOWN).map((finding) => `<li>${escapeHtml(finding)}</li>`);
  return `<h3>What else is wrong</h3><ul>${items.join('')}</ul>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
