/** `kvctl bench` on real replicas: every workload, both loops, what it leaves, and how it ends when it is disturbed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from '@kvd/client';
import t, { type Test } from 'tap';
import { kvctlBin, type RunResult, runProgram, startCluster } from '../support/cluster.js';

interface Figures {
  readonly throughput: number;
  readonly count: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly absent: number;
  readonly [latency: string]: unknown;
}

interface Report extends Figures {
  readonly operations: Readonly<Record<string, Figures>>;
  readonly interrupted: boolean;
  readonly skipped: number;
  readonly setting: { readonly prefix: string; readonly rate: number | null };
  readonly cluster: unknown;
}

const KEYS = 300;
const COUNT = 200;
const LATENCIES = ['min', 'p50', 'p90', 'p99', 'p99.9', 'max'];

const cluster = await startCluster({ replicas: 3 });
t.teardown(() => cluster.close());
const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 30_000 });
t.teardown(() => kv.close());
const env = { KVCTL_ENDPOINTS: cluster.endpoints.join(',') };
const kvctl = (args: readonly string[]): Promise<RunResult> => runProgram(kvctlBin, args, { env });
const small = ['--keys', String(KEYS), '--value-size', '50', '--warm-up', '0', '-o', 'json'];

/** Run it to its end, which has to be a good one. */
async function bench(args: readonly string[]): Promise<Report> {
  const { code, stdout, stderr } = await kvctl(['bench', ...args, ...small]);
  if (code !== 0) throw new Error(`bench ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}

function keysLeft(): Promise<number> {
  return kv.count({ prefix: 'bench/' });
}

function sum(errors: Readonly<Record<string, number>>): number {
  return Object.values(errors).reduce((total, count) => total + count, 0);
}

t.test('every workload', async (t) => {
  const kinds: Readonly<Record<string, readonly string[]>> = {
    put: ['put'],
    get: ['get'],
    mixed: ['put', 'get'],
    txn: ['txn'],
    'ycsb-a': ['put', 'get'],
    'ycsb-b': ['put', 'get'],
    'ycsb-c': ['get'],
    'ycsb-d': ['get', 'insert'],
    'ycsb-e': ['insert', 'scan'],
    'ycsb-f': ['get', 'read-modify-write'],
  };
  for (const [workload, expected] of Object.entries(kinds)) {
    const report = await bench([workload, '--count', String(COUNT), '--connections', '2']);
    t.same(Object.keys(report.operations), expected, `${workload}: the kinds of operations`);
    t.equal(report.count, COUNT, `${workload}: as many as asked for`);
    const each = Object.values(report.operations);
    t.equal(
      each.reduce((total, { count }) => total + count, 0),
      COUNT,
      `${workload}: each is of a kind`,
    );
    for (const figures of [report, ...each]) {
      t.same(figures.errors, {}, `${workload}: none failed`);
      t.equal(figures.absent, 0, `${workload}: all keys were there`);
      t.ok(figures.throughput > 0);
      const latencies = LATENCIES.map((name) => figures[name] as number);
      const sorted = [...latencies].sort((a, b) => a - b);
      t.ok(
        latencies.every((ms) => ms > 0),
        `${workload}: they took some time`,
      );
      t.same(latencies, sorted, `${workload}: and no percentile is below a lower one`);
    }
    t.match(report.cluster, { replicas: 3, reachable: 3, versions: [/^\d/] });
  }
  t.equal(await keysLeft(), 0, 'nothing is left');
});

t.test('watch: every watcher has an event for every put', async (t) => {
  const report = await bench(['watch', '--count', String(COUNT), '--watchers', '5', '--connections', '2']);
  t.match(report, { count: COUNT * 5, watchers: 5, watchersBehind: 0, absent: 0 });
  t.match(report.operations, { put: { count: COUNT, errors: {} }, event: { count: COUNT * 5, errors: {} } });
});

t.test('open loop: what was due was done, or is said not to have been', async (t) => {
  const report = await bench(['put', '--rate', '200', '--duration', '1']);
  t.equal(report.setting.rate, 200);
  t.equal(report.count + report.skipped + sum(report.errors), 200);
  const counted = await bench(['get', '--rate', '1000', '--count', '300', '--consistency', 'stale']);
  t.equal(counted.count, 300);
  t.match(counted.setting, { consistency: 'stale' });
  const tooFast = await bench(['put', '--rate', '1000000', '--duration', '0.2', '--in-flight', '2']);
  t.ok(tooFast.skipped > 0, 'more than can be done');
});

t.test('the same seed does the same to the same keys, which --keep leaves', async (t) => {
  const versions: string[] = [];
  for (const seed of ['3', '3', '4']) {
    const args = ['ycsb-a', '--count', '100', '--in-flight', '1', '--seed', seed, '--keep'];
    const { setting } = await bench(args);
    const found: number[] = [];
    for await (const { version } of kv.scan({ prefix: setting.prefix })) found.push(version);
    t.equal(found.length, KEYS);
    versions.push(found.join());
    await kv.delete({ prefix: setting.prefix });
  }
  t.equal(versions[0], versions[1]);
  t.not(versions[0], versions[2]);
});

t.test('text is for people', async (t) => {
  const { code, stdout, stderr } = await kvctl([
    'bench',
    'put',
    '--count',
    '20',
    '--keys',
    '10',
    '--warm-up',
    '0',
  ]);
  t.equal(code, 0, stderr);
  t.match(
    stdout,
    /put on 3 replicas \(kvd \d.*replica \d leads\): closed loop, 64 in flight on 1 connection/,
  );
  t.match(stdout, /p99\.9/);
  t.equal(stderr, '', 'no bar where no terminal is');
});

/** One that goes on until it is interrupted, and has begun to measure. */
async function startBench(
  t: Test,
  args: readonly string[],
): Promise<{ readonly interrupt: () => Promise<RunResult> }> {
  const before = await kv.revision();
  const words = [kvctlBin, 'bench', 'put', '--duration', '600', ...args, ...small];
  const child = spawn(process.execPath, words, { env: { ...process.env, ...env } });
  t.teardown(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = once(child, 'close');
  await cluster.waitFor('puts beyond those that load', async () =>
    (await kv.revision()) > before + KEYS + 100 ? true : undefined,
  );
  return {
    interrupt: async () => {
      child.kill('SIGINT');
      const [code] = (await closed) as [number | null];
      return { code, stdout, stderr };
    },
  };
}

t.test('Ctrl-C ends it early: it tells what it has, and tidies up', async (t) => {
  const running = await startBench(t, []);
  const { code, stdout } = await running.interrupt();
  t.equal(code, 130, 'as a shell tells of Ctrl-C');
  const report = JSON.parse(stdout) as Report;
  t.equal(report.interrupted, true);
  t.ok(report.count > 0, `${report.count} puts`);
  t.equal(await keysLeft(), 0);
});

t.test('without a quorum errors are counted, and it says what it leaves', async (t) => {
  const running = await startBench(t, ['--timeout', '300', '--in-flight', '4']);
  await Promise.all([cluster.kill(1), cluster.kill(2)]);
  // Begun after what the bench had under way, with more time: when it has failed, that has failed before.
  await t.rejects(kv.put('a', '1', { timeoutMs: 2_000 }));
  const { code, stdout, stderr } = await running.interrupt();
  const report = JSON.parse(stdout) as Report;
  t.ok(sum(report.errors) > 0, JSON.stringify(report.errors));
  for (const name of Object.keys(report.errors)) t.match(name, /^KVD_/);
  t.equal(code, 3, 'the keys could not be removed');
  t.match(stderr, new RegExp(`kvctl del --prefix ${report.setting.prefix}`));
});
