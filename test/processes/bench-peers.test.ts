/** `npm run bench:peers` where no peer is installed: what it says, what it measures, what it leaves. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { root } from '../support/cluster.js';

const bench = path.join(root, 'packages/client/bench/peers');
const PEERS = ['etcd', 'zookeeper', 'nats', 'redis'];

interface WaitingModule {
  readonly waitFor: (what: string, probe: () => boolean) => Promise<unknown>;
}

interface Figure {
  readonly value: number;
  readonly p99Ms?: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly samples: readonly unknown[];
}

interface Table {
  readonly title: string;
  readonly columns: readonly {
    readonly name: string;
    readonly systems: Readonly<Record<string, Figure>>;
    readonly ratios: Readonly<Record<string, { readonly value: number; readonly p99Ms?: number }>>;
  }[];
}

interface FiguresModule {
  readonly Figures: new () => {
    record(sample: Readonly<Record<string, unknown>>): void;
    tables(): Table[];
  };
}

const importOf = async <T>(file: string): Promise<T> =>
  (await import(pathToFileURL(path.join(bench, file)).href)) as T;

/** Its scratch is in `directory`, which is empty before; there is no program on its PATH. */
function start(directory: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [path.join(bench, 'main.mjs'), ...args], {
    env: { ...process.env, PATH: directory, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(t: Test, args: readonly string[], directory = t.testdir({})): Promise<Ended> {
  const child = start(directory, args);
  t.teardown(() => child.kill('SIGTERM'));
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

/** How many processes were told something about this directory. */
function processesIn(directory: string): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory);
    } catch {
      return false;
    }
  }).length;
}

t.test('what is not installed is said and left out; kvd is measured alone', async (t) => {
  const short = ['--rounds', '1', '--seconds', '1', '--warm-up', '0'];
  const { code, stdout, stderr } = await run(t, ['--only', 'put', ...short, '-o', 'json']);
  t.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as {
    systems: { name: string; members: number }[];
    leftOut: { what: string; why: string }[];
    tables: Table[];
    failures: unknown[];
  };
  t.match(result.systems, [{ name: 'kvd', members: 3 }]);
  t.same(
    result.leftOut.map(({ what }) => what),
    PEERS,
  );
  for (const { what, why } of result.leftOut) {
    t.match(why, /on PATH/);
    t.match(stderr, `${what} is left out: ${why}`);
  }
  t.same(result.failures, []);
  const [puts, ...others] = result.tables;
  t.same(others, [], 'nothing but what was asked for');
  t.same(
    puts?.columns.map(({ name }) => name),
    ['1', '64', '1,024'],
  );
  for (const { name, systems } of puts?.columns ?? []) {
    const { kvd } = systems;
    t.ok(kvd !== undefined && kvd.value > 0 && (kvd.p99Ms ?? 0) > 0, `${name} in flight: ${kvd?.value}/s`);
    t.same(kvd?.errors, {});
    t.equal(kvd?.samples.length, 1);
  }
  t.same(readdirSync(t.testdirName), [], 'its scratch is removed');
});

t.test('Ctrl-C ends it with every process and file of it', async (t) => {
  const directory = t.testdir({});
  const child = start(directory, ['--only', 'put', '--seconds', '600']);
  t.teardown(() => child.kill('SIGTERM'));
  const { waitFor } = await importOf<WaitingModule>('waiting.mjs');
  await waitFor('three replicas to run', () => processesIn(directory) === 3 || child.exitCode !== null);
  t.equal(child.exitCode, null, 'it goes on');
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  t.equal(code, 130);
  t.equal(processesIn(directory), 0);
  t.same(readdirSync(directory), []);
});

t.test('a peer that does not start is told of, with what it said', async (t) => {
  const directory = t.testdir({});
  const script = '#!/bin/sh\n[ "$1" = --version ] && echo v=7 && exit\necho no memory left\nexit 3\n';
  for (const name of ['redis-server', 'redis-benchmark']) {
    writeFileSync(path.join(directory, name), script, { mode: 0o755 });
  }
  const args = ['--only', 'neutral,redis', '--without', 'kvd', '--rounds', '1'];
  const { code, stdout } = await run(t, args, directory);
  t.equal(code, 1);
  t.match(
    stdout,
    /failed: redis, load generator, round 1 of 1: redis 1 .* ended with 3; it said last: no memory left/,
  );
});

t.test('what it cannot do is bad usage', async (t) => {
  const wrong = [
    ['--only', 'mysql'],
    ['--rounds', '0'],
    ['--seconds', 'x'],
    ['--sedonds', '1'],
  ];
  const directory = t.testdir({});
  const ended = await Promise.all(wrong.map((args) => run(t, args, directory)));
  for (const [i, { code, stdout, stderr }] of ended.entries()) {
    t.equal(code, 2, String(wrong[i]));
    t.equal(stdout, '');
    t.match(stderr, 'npm run bench:peers', 'and it says what it can');
  }
});

t.test('medians, ratios and errors', async (t) => {
  const { Figures } = await importOf<FiguresModule>('figures.mjs');
  const figures = new Figures();
  const sample = { table: 'puts', column: '64' };
  for (const value of [10, 1_000, 30]) {
    figures.record({ ...sample, system: 'kvd', value, p99Ms: value / 10, errors: { slow: 1 } });
  }
  for (const value of [5, 25]) figures.record({ ...sample, system: 'etcd', value, p99Ms: 6 });
  figures.record({ ...sample, system: 'kvd (wrk)', value: 7 });
  const [table] = figures.tables();
  t.match(table?.columns[0], {
    name: '64',
    systems: { kvd: { value: 30, p99Ms: 3, errors: { slow: 3 } }, etcd: { value: 15, p99Ms: 6, errors: {} } },
  });
  t.same(table?.columns[0]?.ratios, { etcd: { value: 2, p99Ms: 0.5 } });
});

t.test('a request of etcd as bytes', async (t) => {
  const { grpcFrame } = await importOf<{ grpcFrame: (...fields: Buffer[]) => Buffer }>('grpc-frame.mjs');
  t.equal(
    grpcFrame(Buffer.from('a'), Buffer.from('xy')).toString('hex'),
    '0000000007' + '0a0161' + '12027879',
  );
  const long = grpcFrame(Buffer.from('a'), Buffer.alloc(200));
  t.equal(long.subarray(0, 11).toString('hex'), '00000000ce' + '0a0161' + '12c801', 'a length of two bytes');
});
