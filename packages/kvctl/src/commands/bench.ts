/** `kvctl bench`: measures a running cluster under a load of this process. Its keys are its own, and gone after it. */
import type { KvdClient } from '@kvd/client';
import { randomBytes } from 'node:crypto';
import { KeySpace } from '../bench/keys.js';
import { measure } from '../bench/measure.js';
import { Meter } from '../bench/meter.js';
import { Progress } from '../bench/progress.js';
import { loadRecords, removeRecords } from '../bench/records.js';
import { benchFields, benchText, type Target } from '../bench/report.js';
import { type BenchArgs, type BenchSetting, toSetting } from '../bench/setting.js';
import { Values } from '../bench/values.js';
import type { Context } from '../context.js';
import { seededRandom } from '../drill/random.js';
import { describeError, EXIT, type ExitCode } from '../errors.js';
import { askReplicas, textOf } from '../replicas.js';
import { Stop } from '../stop.js';

/** Exit 1 when not one operation succeeded. Interrupted it tells what it has. */
export async function bench(context: Context, args: BenchArgs): Promise<ExitCode> {
  const setting = toSetting(args);
  const stop = new Stop(context.stop);
  const clients = await connectAll(context, setting.connections).catch((error: unknown) => {
    stop.end();
    throw error;
  });
  // One of its own for each run, so that runs at the same time, and what is under bench/ already, are nobody's victims.
  const keys = new KeySpace(`bench/${randomBytes(4).toString('hex')}/`, setting.keys);
  const progress = new Progress();
  let exitCode: ExitCode = EXIT.done;
  let removed = true;
  try {
    exitCode = await loadAndMeasure(context, setting, clients, keys, progress, stop);
  } finally {
    // From here on Ctrl-C ends it at once.
    stop.end();
    progress.end();
    if (!setting.keep) removed = await remove(context, clients, keys, progress);
    await Promise.all(clients.map((client) => client.close()));
  }
  return removed ? exitCode : EXIT.unavailable;
}

async function loadAndMeasure(
  context: Context,
  setting: BenchSetting,
  clients: readonly KvdClient[],
  keys: KeySpace,
  progress: Progress,
  stop: Stop,
): Promise<ExitCode> {
  const values = new Values(seededRandom(setting.seed + 1), setting.valueBytes);
  const meter = new Meter();
  const { timeoutMs, consistency } = context;
  await load(setting, clients, keys, values, progress, stop.signal);
  if (stop.by !== null) {
    context.out.note('kvctl: interrupted before anything was measured');
    return stop.exitCode;
  }
  const target = await targetOf(context);
  const scene = { setting, clients, keys, values, meter, progress, stop: stop.signal, timeoutMs };
  const ended = await measure(scene);
  const facts = { ...ended, target, consistency, prefix: keys.prefix, interrupted: stop.by !== null };
  await context.out.result(benchFields(setting, facts, meter), benchText(setting, facts, meter));
  if (stop.by !== null) return stop.exitCode;
  return meter.figures().count > 0 ? EXIT.done : EXIT.negative;
}

async function load(
  { keys: total }: BenchSetting,
  clients: readonly KvdClient[],
  keys: KeySpace,
  values: Values,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  let loaded = 0;
  const done = (): number => loaded;
  progress.begin({ name: 'loading', total, done, operations: done, failures: () => 0 });
  await loadRecords(clients, keys, values, stop, () => loaded++);
  progress.end();
}

/** False: some keys may be left, which it says. */
async function remove(
  context: Context,
  clients: readonly KvdClient[],
  keys: KeySpace,
  progress: Progress,
): Promise<boolean> {
  const [client] = clients;
  if (client === undefined) return true;
  let removed = 0;
  const done = (): number => removed;
  progress.begin({ name: 'removing', total: keys.end, done, operations: done, failures: () => 0 });
  try {
    await removeRecords(client, keys, (count) => {
      removed += count;
    });
    return true;
  } catch (error) {
    const { code, message } = describeError(error);
    context.out.note(
      `kvctl: not all keys were removed (${code}: ${message}); do it with: kvctl del --prefix ${keys.prefix}`,
    );
    return false;
  } finally {
    progress.end();
  }
}

async function connectAll(context: Context, count: number): Promise<readonly KvdClient[]> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, () => context.connect()));
  const clients = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return clients;
  await Promise.all(clients.map((client) => client.close()));
  throw failed.reason;
}

async function targetOf({ endpoints, timeoutMs }: Context): Promise<Target> {
  const reports = await askReplicas(endpoints, timeoutMs);
  const reachable = reports.filter((report) => report.reachable);
  return {
    replicas: reports.length,
    reachable: reachable.length,
    leader: reachable.find((report) => report.status.role === 'leader')?.id ?? null,
    versions: [...new Set(reachable.map((report) => textOf(report, 'version')))],
  };
}
