import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readdirSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import {
  freePorts,
  http,
  KVD,
  KvdProcess,
  peersOf,
  status,
  until,
  untilReady,
} from '../support/kvd-process.js';

/** Each is a few lines of the log. */
const CAMPAIGNS = 1_000;

function one(port: number, data: string, ...more: readonly string[]): string[] {
  return ['--id', '1', '--peers', `1=127.0.0.1:${port}`, '--data', data, ...more];
}

function first(ports: readonly number[]): number {
  const [port] = ports;
  if (port === undefined) throw new Error('no port');
  return port;
}

/** Stderr without log lines: what a person at a terminal is told. */
function told(kvd: KvdProcess): string[] {
  return kvd.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
}

/** It ends by itself, with this status and one line that says why. */
async function refuses(t: Test, argv: readonly string[], exitCode: number, why: RegExp): Promise<void> {
  const kvd = new KvdProcess(t, argv);
  t.equal(await kvd.ended, exitCode, argv.join(' '));
  t.match(told(kvd).join('\n'), why);
  t.equal(told(kvd).length, 1, 'one line, no stack');
  t.equal(kvd.stdout, '');
}

test('one replica alone: ready line, a round trip over HTTP, a clean end, and everything is still there', async (t) => {
  const data = join(t.testdir({}), 'data');
  const port = first(await freePorts(1));
  const kvd = await new KvdProcess(t, one(port, data)).ready();
  t.equal(kvd.stdout, `kvd ready: replica 1, 127.0.0.1:${port}\n`);
  t.equal((await http(port, 'GET', '/livez')).status, 200);
  await untilReady(port);
  t.match(await http(port, 'PUT', '/v1/kv/a%FF', { body: 'one' }), { status: 200, text: '{"revision":1}\n' });
  const got = await http(port, 'GET', '/v1/kv/a%FF');
  t.equal(got.text, 'one');
  t.equal(got.headers.get('kvd-mod-revision'), '1');
  const keyed = { headers: { 'Idempotency-Key': 'order-7' }, body: 'two' };
  t.match(await http(port, 'PUT', '/v1/kv/b', keyed), { status: 200, text: '{"revision":2}\n' });
  t.match(await http(port, 'PUT', '/v1/kv/b', keyed), { status: 200, text: '{"revision":2}\n' }, 'once');
  t.equal((await http(port, 'PUT', '/v1/kv/b', { ...keyed, body: 'x' })).status, 409);
  t.match(await http(port, 'DELETE', '/v1/kv/none'), { text: '{"revision":2,"deleted":0}\n' });
  t.match((await http(port, 'GET', '/v1/kv?keys_only')).text, /^\{"keyBase64":"Yf8=",.*\n\{"key":"b",.*\n$/);
  t.match(await status(port), { role: 'leader', reachable: true, ready: true, revision: 2, version: /\d/ });
  const metrics = (await http(port, 'GET', '/metrics')).text;
  t.match(metrics, /^kvd_revision\{replica="1"\} 2$/m);
  t.match(metrics, /^kvd_log_write_seconds_count\{replica="1"\} [1-9]/m);
  t.match(metrics, /^kvd_request_seconds_count\{replica="1",type="mutate",result="ok"\} \d+$/m);

  const before = performance.now();
  t.equal(await kvd.kill('SIGTERM'), 0);
  t.ok(performance.now() - before < 5_000, 'within five seconds');
  for (const line of kvd.stderr.trim().split('\n'))
    t.type(JSON.parse(line), 'object', 'the log is JSON lines');

  const again = await new KvdProcess(t, ['--id', '1', '--data', data]).ready();
  t.match(again.stdout, `replica 1, 127.0.0.1:${port}`, 'without --peers: as written down');
  await untilReady(port);
  t.equal((await http(port, 'GET', '/v1/kv/b')).text, 'two');
  t.match(
    await http(port, 'PUT', '/v1/kv/b', keyed),
    { status: 200, text: '{"revision":2}\n' },
    'still once',
  );
  t.equal(await again.kill('SIGINT'), 0);
});

test('after kill -9 in the middle of writes, everything that was answered is there', async (t) => {
  const data = join(t.testdir({}), 'data');
  const port = first(await freePorts(1));
  const kvd = await new KvdProcess(t, one(port, data)).ready();
  await untilReady(port);
  const answered: number[] = [];
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let i = writer; ; i += 8) {
      const reply = await http(port, 'PUT', `/v1/kv/k${i}`, { body: `v${i}` });
      if (reply.status !== 200) return;
      answered.push(i);
      if (answered.length === 200) kvd.child.kill('SIGKILL');
    }
  });
  await Promise.all(writers);
  t.equal(await kvd.ended, 'SIGKILL');
  await new KvdProcess(t, one(port, data)).ready();
  await untilReady(port);
  const lines = (await http(port, 'GET', '/v1/kv?prefix=k')).text.trim().split('\n');
  const found = new Set(lines.map((line) => (JSON.parse(line) as { key: string }).key));
  t.ok(answered.length >= 200);
  t.strictSame(
    answered.filter((i) => !found.has(`k${i}`)),
    [],
  );
});

test('bad usage is exit 2 and one line', async (t) => {
  const directory = t.testdir({});
  const data = join(directory, 'data');
  const port = first(await freePorts(1));
  await refuses(t, ['--id', '1', '--data', data], 2, /founding members must be given/);
  await refuses(t, [...one(port, data), '--fast'], 2, /^kvd: Unknown argument: fast$/);
  await refuses(
    t,
    one(port, data, '--listen', '203.0.113.1:1'),
    2,
    /cannot listen on 203.0.113.1:1: EADDRNOTAVAIL/,
  );
  const kvd = await new KvdProcess(t, one(port, data)).ready();
  await kvd.kill('SIGTERM');
  const others = `1=127.0.0.1:${port},2=127.0.0.1:1`;
  const founding = /the founding members written down in .* are '1=.*', given are '1=.*,2=/;
  await refuses(t, ['--id', '1', '--peers', others, '--data', data], 2, founding);
  const help = new KvdProcess(t, ['--help']);
  t.equal(await help.ended, 0);
  t.match(help.stdout, /--election-timeout-ms/);
});

test('a directory of another replica is exit 3, one that is in use too; a taken port is 5', async (t) => {
  const directory = t.testdir({});
  const data = join(directory, 'data');
  const ports = await freePorts(2);
  const port = first(ports);
  const peers = peersOf(ports);
  const argv = ['--id', '1', '--peers', peers, '--data', data];
  const kvd = await new KvdProcess(t, argv).ready();
  await refuses(t, argv, 3, /in use by another process/);
  await refuses(
    t,
    ['--id', '2', '--peers', peers, '--data', data],
    3,
    /belongs to replica 1, this is replica 2/,
  );
  await refuses(t, one(port, join(directory, 'other')), 5, new RegExp(`127.0.0.1:${port} is taken`));
  t.equal(await kvd.kill('SIGTERM'), 0, 'a replica without its peers ends cleanly too');
});

test('three replicas: any one takes a request, a majority is enough, one alone answers stale reads only', async (t) => {
  const directory = t.testdir({});
  const ports = await freePorts(3);
  const peers = peersOf(ports);
  const start = (i: number): KvdProcess =>
    new KvdProcess(t, ['--id', String(i + 1), '--data', join(directory, `${i}`)], { KVD_PEERS: peers });
  const replicas = ports.map((_, i) => start(i));
  await Promise.all(replicas.map((kvd) => kvd.ready()));
  await Promise.all(ports.map(untilReady));
  for (const [i, port] of ports.entries()) {
    t.match(await http(port, 'PUT', `/v1/kv/${i}`, { body: `${i}` }), { status: 200 }, `written at ${i + 1}`);
  }
  for (const port of ports)
    t.equal((await http(port, 'GET', '/v1/kv/2')).text, '2', 'linearizable everywhere');

  const leader = Number((await status(first(ports)))['leader']) - 1;
  const [survivor, other] = [0, 1, 2].filter((i) => i !== leader) as [number, number];
  const survivorPort = ports[survivor] ?? 0;
  t.equal(await replicas[leader]?.kill('SIGTERM'), 0);
  await until(async () => (await status(survivorPort))['leader'] !== leader + 1, 'another leader');
  await untilReady(survivorPort);
  t.equal((await http(survivorPort, 'PUT', '/v1/kv/after', { body: 'x' })).status, 200);

  await replicas[other]?.kill('SIGKILL');
  await until(async () => (await http(survivorPort, 'GET', '/readyz')).status === 503, 'not being ready');
  const soon = { headers: { 'Kvd-Timeout-Ms': '300' } };
  t.match((await http(survivorPort, 'GET', '/v1/kv/2', soon)).status, 503);
  t.match((await http(survivorPort, 'PUT', '/v1/kv/2', { ...soon, body: 'y' })).status, /^50[34]$/);
  t.equal((await http(survivorPort, 'GET', '/v1/kv/2?consistency=stale')).text, '2');
  t.equal((await http(survivorPort, 'GET', '/livez')).status, 200);

  start(leader);
  await untilReady(survivorPort);
  t.equal((await http(survivorPort, 'GET', '/v1/kv/after')).text, 'x');
});

test('a cluster that moves to other ports keeps its members and its data', async (t) => {
  const directory = t.testdir({});
  const startAt = async (ports: readonly number[]): Promise<KvdProcess[]> => {
    const argv = (i: number): string[] => ['--id', `${i + 1}`, '--data', join(directory, `${i}`)];
    const started = ports.map((_, i) => new KvdProcess(t, [...argv(i), '--peers', peersOf(ports)]));
    await Promise.all(started.map((kvd) => kvd.ready()));
    await Promise.all(ports.map(untilReady));
    return started;
  };
  const ports = await freePorts(6);
  const before = await startAt(ports.slice(0, 3));
  t.equal((await http(first(ports), 'PUT', '/v1/kv/a', { body: 'x' })).status, 200);
  const { clusterId } = await status(first(ports));
  await Promise.all(before.map((kvd) => kvd.kill('SIGTERM')));
  await startAt(ports.slice(3));
  for (const port of ports.slice(3)) t.equal((await http(port, 'GET', '/v1/kv/a')).text, 'x');
  t.match(await status(ports[3] ?? 0), { clusterId, address: `127.0.0.1:${ports[3]}` });
});

test('a damaged log is set aside, loudly; alone, the replica founds nothing', async (t) => {
  const directory = t.testdir({});
  const data = join(directory, 'data');
  const port = first(await freePorts(1));
  const kvd = await new KvdProcess(t, one(port, data)).ready();
  await untilReady(port);
  await http(port, 'PUT', '/v1/kv/a', { body: 'x'.repeat(10_000) });
  await kvd.kill('SIGKILL');
  flipByteInTheMiddle(join(data, 'log'));
  const damaged = await new KvdProcess(t, one(port, data)).ready();
  t.match(told(damaged).join('\n'), /^kvd: WARNING: replica 1, .*set-aside/m);
  t.match(damaged.stderr, /"level":"warn".*"event":"directory-set-aside"/);
  t.ok(readdirSync(data).includes('set-aside'));
  const now = await status(port);
  t.equal(now['ready'], false);
  t.match(now['reason'], /set aside/);
  t.equal((await http(port, 'GET', '/readyz')).status, 503);
  t.equal(
    (await http(port, 'PUT', '/v1/kv/b', { body: 'y', headers: { 'Kvd-Timeout-Ms': '300' } })).status,
    503,
  );
  t.equal(await damaged.kill('SIGTERM'), 0);
});

/** Of the write-ahead file of a LevelDB. */
function flipByteInTheMiddle(folder: string): void {
  const logs = readdirSync(folder).filter((name) => name.endsWith('.log'));
  const largest = logs
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).size - statSync(a).size)[0];
  if (largest === undefined) throw new Error(`no log file in ${folder}`);
  const file = openSync(largest, 'r+');
  const at = Math.floor(statSync(largest).size / 2);
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, at);
}

test('chaos from a configuration file, shown and stopped at run time', async (t) => {
  const directory = t.testdir({});
  const port = first(await freePorts(1));
  const config = join(directory, 'kvd.json');
  writeFileSync(
    config,
    JSON.stringify({
      id: 1,
      peers: `1=127.0.0.1:${port}`,
      data: join(directory, 'data'),
      'chaos-fail-rate': 1,
      'chaos-interval-ms': 50,
      'chaos-down-ms': 50,
      'chaos-roles': 'acceptor,learner,proposer',
    }),
  );
  const kvd = await new KvdProcess(t, ['--config', config]).ready();
  await until(async () => Number(kills((await http(port, 'GET', '/metrics')).text)) >= 10, 'ten kills');
  const put = await http(port, 'PUT', '/v1/chaos', { body: '{"failRate":0}' });
  t.match(JSON.parse(put.text), { failRate: 0, intervalMs: 50, roles: ['acceptor', 'learner', 'proposer'] });
  await until(async () => (await http(port, 'GET', '/v1/chaos')).text.includes('"down":[]'), 'all roles up');
  await untilReady(port);
  t.equal((await http(port, 'PUT', '/v1/kv/a', { body: 'x' })).status, 200);
  t.equal(await kvd.kill('SIGTERM'), 0);
});

test('where its log cannot be written it serves all the same, and ends as it is told to', async (t) => {
  const directory = t.testdir({});
  for (const [where, stderr] of [
    ['full', openSync('/dev/full', 'w')],
    ['unread', 'pipe'],
  ] as const) {
    const port = first(await freePorts(1));
    const argv = one(port, join(directory, where), '--log-level', 'debug');
    const child = spawn(KVD, argv, { stdio: ['ignore', 'ignore', stderr] });
    t.teardown(() => child.kill('SIGKILL'));
    const ended = once(child, 'exit');
    await untilReady(port);
    // More lines than a pipe takes that nobody reads.
    for (let i = 0; i < CAMPAIGNS; i++) await http(port, 'POST', '/v1/chaos/campaign');
    await untilReady(port);
    t.equal((await http(port, 'PUT', '/v1/kv/a', { body: 'x' })).status, 200, where);
    child.kill('SIGTERM');
    t.same(await ended, [0, null], where);
  }
});

function kills(metrics: string): string {
  return /^kvd_chaos_kills_total\{replica="1"\} (\d+)$/m.exec(metrics)?.[1] ?? '0';
}
