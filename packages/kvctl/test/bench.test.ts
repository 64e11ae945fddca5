/** The parts of `kvctl bench` that need no cluster: when operations begin, what is counted, what is told, bad usage. */
import { KvdError } from '@kvd/client';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { Meter } from '../src/bench/meter.js';
import { ClosedLoop, OpenLoop } from '../src/bench/pacer.js';
import { Progress } from '../src/bench/progress.js';
import { benchFields, benchText } from '../src/bench/report.js';
import { type BenchArgs, toSetting } from '../src/bench/setting.js';
import { makeCli, shield } from '../src/cli.js';
import { exitCodeOf } from '../src/errors.js';

const given: BenchArgs = {
  workload: 'put',
  connections: 1,
  keys: 10,
  warmUp: 0,
  seed: 1,
  keep: false,
};

t.test('a closed loop begins at once, and counts after the warm-up only', async (t) => {
  let nowMs = 0;
  const bounds = { beginMs: 0, measureMs: 10, endMs: 100, count: 2 };
  const pacer = new ClosedLoop(bounds, () => nowMs);
  t.equal(pacer.take(), 0);
  t.equal(pacer.take(), 0, 'warming up as often as it likes');
  nowMs = 10;
  t.same([pacer.take(), pacer.take(), pacer.take()], [10, 10, null]);
  const timed = new ClosedLoop({ ...bounds, count: Number.POSITIVE_INFINITY }, () => nowMs);
  nowMs = 99;
  t.equal(timed.take(), 99);
  nowMs = 100;
  t.equal(timed.take(), null, 'time is over');
  nowMs = 50;
  timed.stop();
  t.equal(timed.take(), null, 'stopped');
});

t.test('an open loop begins when it is due', async (t) => {
  let nowMs = 1_000;
  const bounds = { beginMs: 1_000, measureMs: 1_000, endMs: 1_050, count: Number.POSITIVE_INFINITY };
  const pacer = new OpenLoop(bounds, 100, () => nowMs);
  t.equal(pacer.take(), 1_000);
  const waiting = [pacer.take(), pacer.take()];
  pacer.tick();
  nowMs = 1_010;
  pacer.tick();
  t.equal(await waiting[0], 1_010);
  nowMs = 1_020;
  pacer.tick();
  t.equal(await waiting[1], 1_020);
  t.equal(pacer.skipped, 0);
});

t.test('an open loop that was held up counts from when it should have begun', async (t) => {
  let nowMs = 0;
  const bounds = { beginMs: 0, measureMs: 0, endMs: 100, count: Number.POSITIVE_INFINITY };
  const pacer = new OpenLoop(bounds, 100, () => nowMs);
  t.equal(pacer.take(), 0, 'the only lane is busy until 55 ms are over');
  nowMs = 55;
  t.same([pacer.take(), pacer.take(), pacer.take()], [10, 20, 30]);
  nowMs = 100;
  t.equal(pacer.take(), null, 'time is over');
  t.equal(pacer.skipped, 6, 'what was due at 40, 50, … 90 never began');
});

t.test('an open loop ends with its count, or when it is stopped', async (t) => {
  let nowMs = 0;
  const counted = new OpenLoop(
    { beginMs: 0, measureMs: 20, endMs: Number.POSITIVE_INFINITY, count: 1 },
    100,
    () => nowMs,
  );
  nowMs = 500;
  t.same([counted.take(), counted.take(), counted.take(), counted.take()], [0, 10, 20, null]);
  t.equal(counted.skipped, 0, 'there is nothing more that was due');
  const stopped = new OpenLoop({ beginMs: 500, measureMs: 500, endMs: 900, count: 9 }, 100, () => nowMs);
  t.equal(stopped.take(), 500);
  const waiting = stopped.take();
  stopped.stop();
  t.equal(await waiting, null);
  t.equal(stopped.take(), null);
  t.equal(stopped.skipped, 0);
});

t.test('the meter: latencies of what begins in the window, throughput of what ends in it', async (t) => {
  const meter = new Meter();
  t.equal(meter.measuredMs, 0);
  meter.open(1_000);
  meter.succeeded('put', 900, 950);
  meter.succeeded('put', 990, 1_010);
  for (let i = 1; i <= 1_000; i++) meter.succeeded('put', 1_000, 1_000 + i);
  meter.succeeded('get', 1_500, 1_501, false);
  meter.failed('put', 1_700, new KvdError('KVD_OUTCOME_UNKNOWN', ''));
  meter.failed('get', 1_700, new KvdError('KVD_TIMEOUT', ''));
  meter.failed('get', 1_800, new KvdError('KVD_TIMEOUT', ''));
  meter.failed('get', 900, new KvdError('KVD_TIMEOUT', ''));
  meter.close(2_000);
  meter.succeeded('put', 1_999, 3_999);
  meter.succeeded('put', 2_000, 2_001);
  t.equal(meter.measuredMs, 1_000);
  const put = meter.figures(['put']);
  t.equal(put.throughput, 1_001);
  t.equal(put.count, 1_001);
  const near = (value: number | null, expected: number): boolean =>
    value !== null && Math.abs(value - expected) <= expected / 500;
  t.ok(near(put.min, 1) && near(put.p50, 501) && near(put.p90, 901) && near(put.p99, 991));
  t.ok(near(put['p99.9'], 1_000) && near(put.max, 2_000), 'the slow one at the end is there');
  t.ok(near(put.mean, (500_500 + 2_000) / 1_001));
  t.same(put.errors, { KVD_OUTCOME_UNKNOWN: 1 });
  const all = meter.figures();
  t.equal(all.count, 1_002);
  t.equal(all.throughput, 1_002);
  t.equal(all.absent, 1);
  t.same(all.errors, { KVD_OUTCOME_UNKNOWN: 1, KVD_TIMEOUT: 2 });
  t.same(meter.kinds, ['put', 'get']);
  t.throws(() => meter.failed('put', 1_500, new TypeError('ours')), TypeError, 'a bug is no figure');
});

t.test('the meter: nothing is no latency', async (t) => {
  const meter = new Meter();
  meter.open(1_000, 2_000);
  meter.close(500);
  t.equal(meter.measuredMs, 0, 'closed before it was open');
  const { throughput, count, p50, max, errors } = meter.figures();
  t.same(
    { throughput, count, p50, max, errors },
    { throughput: 0, count: 0, p50: null, max: null, errors: {} },
  );
});

t.test('settings: what depends on what', async (t) => {
  const infinity = Number.POSITIVE_INFINITY;
  t.match(toSetting(given), {
    inFlight: 64,
    valueBytes: 100,
    rate: null,
    durationMs: 10_000,
    count: infinity,
  });
  t.match(toSetting({ ...given, rate: 5 }), { inFlight: 1_024, rate: 5 });
  t.match(toSetting({ ...given, count: 5 }), { durationMs: infinity, count: 5 });
  t.match(toSetting({ ...given, count: 5, duration: 700 }), { durationMs: 700, count: 5 });
  t.match(toSetting({ ...given, workload: 'ycsb-a' }), { valueBytes: 1_000, watchers: 0 });
  t.match(toSetting({ ...given, workload: 'watch' }), { watchers: 1 });
  t.match(toSetting({ ...given, connections: 100 }), { inFlight: 100 });
});

/** How kvctl would end with these words; nobody answers at the endpoint. */
async function endOf(words: readonly string[]): Promise<{ exitCode: number; message: string }> {
  let exitCode = 0;
  try {
    const onDone = (code: number): void => {
      exitCode = code;
    };
    await makeCli(onDone, []).parseAsync(shield(['-e', '127.0.0.1:1', '--timeout', '50', 'bench', ...words]));
    return { exitCode, message: '' };
  } catch (error) {
    return { exitCode: exitCodeOf(error), message: error instanceof Error ? error.message : '' };
  }
}

t.test('bad usage', async (t) => {
  for (const [words, said] of [
    [[], /workload|Not enough/],
    [['nonsense'], /ycsb-a/],
    [['put', 'get'], /./],
    [['put', '--rate', '0'], /--rate/],
    [['put', '--rate', 'fast'], /--rate/],
    [['put', '--connections', '0'], /--connections/],
    [['put', '--in-flight', '70000'], /--in-flight/],
    [['put', '--in-flight', '3', '--connections', '4'], /--in-flight/],
    [['put', '--value-size', '1048577'], /--value-size/],
    [['put', '--value-size', '1048576', '--in-flight', '65'], /at most 64/],
    [['txn', '--value-size', '1048576', '--in-flight', '33'], /at most 32/],
    [['put', '--keys', '0'], /--keys/],
    [['txn', '--keys', '1'], /--keys/],
    [['put', '--duration', '0'], /--duration/],
    [['put', '--duration', 'long'], /--duration/],
    [['put', '--count', '0'], /--count/],
    [['put', '--warm-up', '-1'], /--warm-up/],
    [['put', '--seed', '-1'], /--seed/],
    [['put', '--reads', '0.5'], /--reads/],
    [['mixed', '--reads', '2'], /--reads/],
    [['get', '--watchers', '2'], /--watchers/],
    [['watch', '--value-size', '7'], /--value-size/],
    [['watch', '--watchers', '20001'], /--watchers/],
    [['put', '--frobnicate'], /frobnicate/],
  ] as const) {
    const { exitCode, message } = await endOf(words);
    t.equal(exitCode, 2, words.join(' '));
    t.match(message, said, words.join(' '));
  }
});

t.test('good usage gets as far as asking', async (t) => {
  for (const words of [
    ['put'],
    ['get', '--value-size', '1048576', '--in-flight', '65'],
    ['mixed', '--reads', '0'],
    ['watch', '--watchers', '2', '--value-size', '8'],
    ['ycsb-e', '--rate', '100', '--duration', '0.5', '--warm-up', '0', '--keep'],
    ['put', '--connections', '3', '--in-flight', '3', '--count', '1', '--seed', '0'],
  ]) {
    t.equal((await endOf(words)).exitCode, 3, words.join(' '));
  }
});

t.test('the report says all of it', async (t) => {
  const setting = toSetting({ ...given, workload: 'ycsb-a', rate: 50, keys: 1_000 });
  const facts = {
    target: { replicas: 3, reachable: 2, leader: 1, versions: ['0.1.0'] },
    consistency: 'stale',
    prefix: 'bench/x/',
    interrupted: true,
    skipped: 7,
    unfinished: 1,
    watchersBehind: 0,
    clientCpu: 0.954,
  };
  const meter = new Meter();
  meter.open(0, 1_000);
  meter.succeeded('put', 0, 10);
  meter.succeeded('get', 0, 1, false);
  meter.failed('get', 5, new KvdError('KVD_TIMEOUT', ''));
  const text = benchText(setting, facts, meter);
  for (const said of [
    /ycsb-a on 3 replicas, 1 of them unreachable \(kvd 0\.1\.0; replica 1 leads\)/,
    /open loop, 50 a second, 1,024 in flight at most on 1 connection, 1,000 keys \(zipfian\) with 1,000 B/,
    /stale reads, seed 1/,
    /interrupted/,
    /p99\.9/,
    /put .* 10\.0\d/,
    /all .* 1 │$/m,
    /KVD_TIMEOUT: 1/,
    /1 did not find the key/,
    /7 operations were due/,
    /1 operations had not ended/,
    /used 0\.95 cores/,
  ])
    t.match(text, said);
  const fields = benchFields(setting, facts, meter);
  t.match(fields, {
    workload: 'ycsb-a',
    throughput: 2,
    count: 2,
    errors: { KVD_TIMEOUT: 1 },
    absent: 1,
    operations: { put: { count: 1, errors: {} }, get: { count: 1, absent: 1, errors: { KVD_TIMEOUT: 1 } } },
    measuredMs: 1_000,
    interrupted: true,
    skipped: 7,
    setting: { loop: 'open', rate: 50, count: null, distribution: 'zipfian', prefix: 'bench/x/' },
    cluster: { replicas: 3, reachable: 2, leader: 1, versions: ['0.1.0'] },
    client: { node: process.version, cpu: 0.95 },
  });
  t.ok(!JSON.stringify(fields).includes('Infinity'));
});

t.test('of watch, the figures at the top are those of the events', async (t) => {
  const setting = toSetting({ ...given, workload: 'watch', watchers: 2 });
  const meter = new Meter();
  meter.open(0, 1_000);
  meter.succeeded('put', 0, 1);
  for (let i = 0; i < 2; i++) meter.succeeded('event', 0, 5);
  const facts = {
    target: { replicas: 1, reachable: 1, leader: null, versions: [] },
    consistency: 'linearizable',
    prefix: '',
    interrupted: false,
    skipped: 0,
    unfinished: 0,
    watchersBehind: 1,
    clientCpu: 0.2,
  };
  t.match(benchFields(setting, facts, meter), { count: 2, throughput: 2, watchers: 2, watchersBehind: 1 });
  const text = benchText(setting, facts, meter);
  t.match(text, /1 of 2 watchers did not see everything/);
  t.notMatch(text, /cores/);
});

t.test('progress: a bar on a terminal, nothing elsewhere', async (t) => {
  for (const isTTY of [true, false]) {
    const stream = Object.assign(new PassThrough(), { isTTY, columns: 80 });
    const progress = new Progress(stream as unknown as NodeJS.WriteStream);
    const phase = { name: 'loading', total: 4, done: () => 1, operations: () => 1, failures: () => 0 };
    progress.begin(phase);
    progress.begin({ ...phase, name: 'measuring' });
    progress.end();
    progress.end();
    const written = String(stream.read() ?? '');
    if (isTTY) t.match(written, /loading.*measuring/s);
    else t.equal(written, '');
  }
});
