/** One measurement: warm-up, window, and the end of what is under way. */
import type { KvdClient } from '@kvd/client';
import { setTimeout } from 'node:timers/promises';
import { seededRandom } from '../drill/random.js';
import type { KeySpace } from './keys.js';
import { startLanes } from './lanes.js';
import type { Meter } from './meter.js';
import { Metronome } from './metronome.js';
import { makeOperations, type Operations } from './operations.js';
import { type Bounds, ClosedLoop, OpenLoop, type Pacer } from './pacer.js';
import type { Phase, Progress } from './progress.js';
import type { RunFacts } from './report.js';
import type { BenchSetting } from './setting.js';
import type { Values } from './values.js';
import { Watchers } from './watchers.js';
import { mixer } from './workloads.js';

/** Until the metronome's thread runs. */
const BEGIN_MS = 100;
/** Who interrupted it does not wait for what gets no answer. */
const DRAIN_AFTER_STOP_MS = 1_000;

export interface Scene {
  readonly setting: BenchSetting;
  readonly clients: readonly KvdClient[];
  readonly keys: KeySpace;
  readonly values: Values;
  readonly meter: Meter;
  readonly progress: Progress;
  readonly stop: AbortSignal;
  /** For how long watchers may be behind in the end. */
  readonly timeoutMs: number;
}

export async function measure(
  scene: Scene,
): Promise<Pick<RunFacts, 'skipped' | 'unfinished' | 'watchersBehind' | 'clientCpu'>> {
  const { setting, clients, keys, values, meter, progress, stop } = scene;
  const random = seededRandom(setting.seed);
  const { prefix } = keys;
  const watchers =
    setting.watchers === 0
      ? null
      : await Watchers.open(clients, prefix, setting.watchers, meter, stop, scene.timeoutMs);
  const operations = makeOperations(setting.workload, keys, values, random);
  const bounds = boundsOf(setting, performance.now() + (setting.rate === null ? 0 : BEGIN_MS));
  const { pacer, metronome } = makePacer(setting, bounds);
  meter.open(bounds.measureMs, bounds.endMs);
  const lanes = startLanes({
    clients,
    lanes: setting.inFlight,
    pacer,
    next: mixer(setting.workload.mix, random),
    operations: watchers === null ? operations : announced(operations, keys, values, random, watchers),
    meter,
  });
  progress.begin(phaseOf(setting, bounds, meter));
  const clientCpu = cpuMeter();
  const drained = new AbortController();
  const onStop = (): void => {
    pacer.stop();
    meter.close(performance.now());
  };
  stop.addEventListener('abort', onStop);
  if (stop.aborted) onStop();
  try {
    await Promise.race([lanes.ended, stopFor(stop, DRAIN_AFTER_STOP_MS, drained.signal)]);
    meter.close(performance.now());
    const cpu = clientCpu();
    await watchers?.end(AbortSignal.any([stop, AbortSignal.timeout(scene.timeoutMs)]));
    return {
      skipped: pacer.skipped,
      unfinished: lanes.running(),
      watchersBehind: watchers?.behind ?? 0,
      clientCpu: cpu,
    };
  } finally {
    drained.abort();
    stop.removeEventListener('abort', onStop);
    progress.end();
    await metronome?.stop();
  }
}

function boundsOf({ warmUpMs, durationMs, count }: BenchSetting, beginMs: number): Bounds {
  const measureMs = beginMs + warmUpMs;
  return { beginMs, measureMs, endMs: measureMs + durationMs, count };
}

function makePacer(
  { rate }: BenchSetting,
  bounds: Bounds,
): { readonly pacer: Pacer; readonly metronome: Metronome | null } {
  const now = (): number => performance.now();
  if (rate === null) return { pacer: new ClosedLoop(bounds, now), metronome: null };
  const pacer = new OpenLoop(bounds, rate, now);
  return { pacer, metronome: new Metronome(bounds.beginMs, 1000 / rate, () => pacer.tick()) };
}

/** Puts that say in their value when they began, for those who watch. */
function announced(
  operations: Operations,
  keys: KeySpace,
  values: Values,
  random: () => number,
  watchers: Watchers,
): Operations {
  const put = async (client: KvdClient, startMs: number): Promise<true> => {
    const key = keys.name(Math.floor(random() * keys.count));
    const { revision } = await client.put(key, values.stamped(startMs));
    watchers.expect(revision);
    return true;
  };
  return { ...operations, put };
}

function phaseOf({ count }: BenchSetting, bounds: Bounds, meter: Meter): Phase {
  const byTime = Number.isFinite(bounds.endMs);
  return {
    name: 'measuring',
    total: byTime ? Math.round(bounds.endMs - bounds.beginMs) : count,
    done: () => (byTime ? Math.round(performance.now() - bounds.beginMs) : meter.figures().count),
    operations: () => meter.ended,
    failures: () => meter.failures,
  };
}

/** How many cores this process has used since. */
function cpuMeter(): () => number {
  const begunMs = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / (performance.now() - begunMs);
  };
}

/** Resolves so long after `stop` fired; never when `cancelled` comes first. */
function stopFor(stop: AbortSignal, ms: number, cancelled: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wait = (): void => {
      setTimeout(ms, undefined, { signal: cancelled }).then(resolve, () => undefined);
    };
    if (stop.aborted) wait();
    else stop.addEventListener('abort', wait, { once: true, signal: cancelled });
  });
}
