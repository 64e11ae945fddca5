/** What came of a run, as JSON and as text. Pure. */
import Table from 'cli-table3';
import type { Figures, Meter } from './meter.js';
import type { BenchSetting } from './setting.js';
import type { Kind } from './workloads.js';

/** What was measured against. */
export interface Target {
  readonly replicas: number;
  readonly reachable: number;
  /** null: nobody knew one. */
  readonly leader: number | null;
  /** Of those that answered, each once. */
  readonly versions: readonly string[];
}

/** What is known of a run besides its measurements. */
export interface RunFacts {
  readonly target: Target;
  readonly consistency: string;
  /** Under which its keys were. */
  readonly prefix: string;
  readonly interrupted: boolean;
  /** Of an open loop: operations that were due and did not begin. */
  readonly skipped: number;
  /** Operations that had no end when it was interrupted. */
  readonly unfinished: number;
  /** Watchers that did not see everything that was acknowledged. */
  readonly watchersBehind: number;
  /** How many cores this process used under load: near 1, it may be what was measured. */
  readonly clientCpu: number;
}

/** JavaScript runs on one core; the rest is garbage collection and compilation. */
const BUSY_CPU = 0.9;

/** One JSON object. The figures at its top are of all operations, those of `watch` of its events. */
export function benchFields(setting: BenchSetting, facts: RunFacts, meter: Meter): Record<string, unknown> {
  const { workload, rate, durationMs, count, watchers, ...given } = setting;
  return {
    workload: workload.name,
    ...meter.figures(headKinds(meter)),
    operations: Object.fromEntries(meter.kinds.map((kind) => [kind, meter.figures([kind])])),
    measuredMs: Math.round(meter.measuredMs),
    interrupted: facts.interrupted,
    skipped: facts.skipped,
    unfinished: facts.unfinished,
    ...(watchers === 0 ? {} : { watchers, watchersBehind: facts.watchersBehind }),
    setting: {
      loop: rate === null ? 'closed' : 'open',
      rate,
      ...given,
      durationMs: Number.isFinite(durationMs) ? durationMs : null,
      count: Number.isFinite(count) ? count : null,
      mix: workload.mix,
      distribution: workload.distribution,
      consistency: facts.consistency,
      prefix: facts.prefix,
    },
    cluster: facts.target,
    client: { node: process.version, cpu: Number(facts.clientCpu.toFixed(2)) },
  };
}

/** For people. */
export function benchText(setting: BenchSetting, facts: RunFacts, meter: Meter): string {
  const lines = [
    headline(setting, facts),
    `measured for ${seconds(meter.measuredMs)} after ${seconds(setting.warmUpMs)} of warm-up${
      facts.interrupted ? ', interrupted' : ''
    }; latencies in ms${setting.rate === null ? '' : ', from when an operation was due'}`,
    figuresTable(meter),
  ];
  for (const [code, failed] of Object.entries(meter.figures().errors))
    lines.push(`${code}: ${number(failed)}`);
  const { absent } = meter.figures();
  if (absent > 0) lines.push(`${number(absent)} did not find the key`);
  if (facts.skipped > 0)
    lines.push(`${number(facts.skipped)} operations were due and did not begin: the rate was too high`);
  if (facts.unfinished > 0) lines.push(`${number(facts.unfinished)} operations had not ended`);
  if (facts.watchersBehind > 0)
    lines.push(`${number(facts.watchersBehind)} of ${setting.watchers} watchers did not see everything`);
  if (facts.clientCpu > BUSY_CPU)
    lines.push(`this process used ${facts.clientCpu.toFixed(2)} cores: it may be what was measured`);
  return lines.join('\n');
}

function headline(setting: BenchSetting, { target, consistency }: RunFacts): string {
  const { workload, rate, inFlight, connections, keys, valueBytes, watchers, seed } = setting;
  const { replicas, reachable, leader, versions } = target;
  const loop = rate === null ? 'closed loop' : `open loop, ${number(rate)} a second`;
  const parts = [
    loop,
    `${number(inFlight)} in flight${rate === null ? '' : ' at most'} on ${plural(connections, 'connection')}`,
    `${number(keys)} keys (${workload.distribution}) with ${number(valueBytes)} B`,
    ...(watchers === 0 ? [] : [plural(watchers, 'watcher')]),
    `${consistency} reads`,
    `seed ${seed}`,
  ];
  const away = reachable === replicas ? '' : `, ${replicas - reachable} of them unreachable`;
  const led = leader === null ? 'no leader' : `replica ${leader} leads`;
  return `${workload.name} on ${plural(replicas, 'replica')}${away} (kvd ${versions.join(', ')}; ${led}): ${parts.join(', ')}`;
}

function figuresTable(meter: Meter): string {
  const head = ['', 'a second', 'count', 'min', 'mean', 'p50', 'p90', 'p99', 'p99.9', 'max', 'errors'];
  const table = new Table({
    head,
    colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  const { kinds } = meter;
  for (const kind of kinds) table.push(row(kind, meter.figures([kind])));
  if (kinds.length > 1 && !kinds.includes('event')) table.push(row('all', meter.figures()));
  return table.toString();
}

function row(name: string, figures: Figures): string[] {
  const { throughput, count, min, mean, p50, p90, p99, max, errors } = figures;
  const latencies = [min, mean, p50, p90, p99, figures['p99.9'], max];
  const failed = Object.values(errors).reduce((sum, of) => sum + of, 0);
  return [
    name,
    number(Math.round(throughput)),
    number(count),
    ...latencies.map((ms) => (ms === null ? '' : ms.toFixed(2))),
    number(failed),
  ];
}

/** A put of `watch` only makes the event that is measured. */
function headKinds(meter: Meter): readonly Kind[] {
  return meter.kinds.includes('event') ? ['event'] : meter.kinds;
}

function plural(count: number, what: string): string {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`;
}

function number(value: number): string {
  return value.toLocaleString('en');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
