/** Local clusters without their processes: layout, pid files, what the live view says. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { KvdError } from '@kvd/client';
import t, { type Test } from 'tap';
import { decideLayout, type Layout, readLayout, writeLayout } from '../src/cluster/layout.js';
import { changes, LiveView } from '../src/cluster/live-view.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { takeOwnership } from '../src/cluster/owner-file.js';
import { readProcessFile, writeProcessFile } from '../src/cluster/process-file.js';
import { openForStart } from '../src/commands/cluster.js';
import { statusLine, statusTable } from '../src/commands/status.js';
import { makeDirectory } from '../src/directory.js';
import { exitCodeOf, refused, usage } from '../src/errors.js';
import { askReplicas, type ReplicaReport } from '../src/replicas.js';

const five: Layout = {
  version: 1,
  replicas: 5,
  joined: [{ id: 6, witness: false }],
  port: 15_000,
  flags: ['--alpha', '8'],
  sampleLoaded: true,
};

t.test('a layout is kept, and found again', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  t.equal(readLayout(dir), null);
  writeLayout(dir, five);
  t.same(readLayout(dir), five);
  const { joined: _, ...earlier } = five;
  writeFileSync(path.join(dir, 'cluster.json'), JSON.stringify(earlier));
  t.same(readLayout(dir), { ...five, joined: [] }, 'of a version in which nobody joined');
  writeFileSync(path.join(dir, 'cluster.json'), '{"version":1,"replicas":"five"}');
  t.throws(() => readLayout(dir), { exitCode: 4, message: /damaged/ });
});

t.test('the number of replicas is decided at the first start', async (t) => {
  t.match(decideLayout('d', null, {}), { replicas: 5, port: 15_000, sampleLoaded: false });
  t.match(decideLayout('d', null, { replicas: 9, port: 16_000 }), { replicas: 9, port: 16_000 });
  t.same(decideLayout('d', five, {}), five, 'what is there counts');
  t.match(decideLayout('d', five, { replicas: 5, port: 17_000 }), { port: 17_000, flags: ['--alpha', '8'] });
  t.throws(() => decideLayout('d', five, { replicas: 3 }), {
    exitCode: 2,
    message: /holds a cluster of 5 replicas, not 3/,
  });
  t.throws(() => decideLayout('d', null, { replicas: 10 }), { code: 'KVCTL_USAGE' });
  t.throws(() => decideLayout('d', null, { port: 65_533 }), { code: 'KVCTL_USAGE' }, 'no room for five');
});

t.test('a first start that failed is remembered, and may be asked for anew', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  const layoutOf = (wish: Parameters<typeof openForStart>[1]): Layout => openForStart(dir, wish).layout;
  t.match(layoutOf({ replicas: 1, port: 26_200, flags: ['--bogus', '1'] }), { replicas: 1, port: 26_200 });
  t.match(layoutOf({ replicas: undefined, port: undefined, flags: undefined }), {
    replicas: 1,
    port: 26_200,
    flags: ['--bogus', '1'],
  });
  t.match(layoutOf({ replicas: 3, flags: [] }), { replicas: 3, port: 26_200, flags: [] });
});

t.test('a directory is made with its parents, or it is said which cannot be', async (t) => {
  const base = t.testdir({ file: '' });
  makeDirectory(path.join(base, 'a', 'b'));
  makeDirectory(path.join(base, 'a', 'b'));
  t.ok(existsSync(path.join(base, 'a', 'b')));
  t.throws(() => makeDirectory(path.join(base, 'file', 'b')), { exitCode: 4, message: /file is a file/ });
  // Node.js 20 would try for ever to make parents there.
  if (existsSync('/proc/self'))
    t.throws(() => writeLayout('/proc/foo/bar', five), {
      exitCode: 4,
      message: 'cannot make the directory /proc/foo: no such file or directory',
    });
});

t.test('who joins has the next number, and who was removed is counted no more', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  const cluster = new LocalCluster(dir, { ...five, replicas: 3, joined: [] });
  t.same(cluster.add(false), { id: 4, witness: false });
  t.same(cluster.add(true), { id: 5, witness: true });
  t.same(cluster.ids, [1, 2, 3, 4, 5]);
  mkdirSync(path.join(dir, 'replica-4'));
  writeFileSync(path.join(dir, 'replica-4', 'removed'), 'removed');
  t.same(cluster.ids, [1, 2, 3, 5]);
  t.throws(() => cluster.check(4), { exitCode: 2, message: /was removed/ });
  t.same(new LocalCluster(dir, readLayout(dir) ?? five).add(false), { id: 6, witness: false });
});

t.test('a pid file knows its process, paused or not, and no other', async (t) => {
  const file = path.join(t.testdir(), 'x.pid');
  t.equal(readProcessFile(file), null);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const pid = child.pid ?? 0;
  writeProcessFile(file, pid);
  t.same(readProcessFile(file), { pid, state: 'running' });
  child.kill('SIGSTOP');
  while (readProcessFile(file)?.state !== 'paused') await new Promise((resolve) => setTimeout(resolve, 5));
  const reused = readFileSync(file, 'utf8').replace(/"startTime":"(\d+)/, '"startTime":"9$1');
  writeFileSync(file, reused);
  t.equal(readProcessFile(file), null, 'the same pid with another start time is another process');
  writeProcessFile(file, pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.equal(readProcessFile(file), null);
  writeFileSync(file, 'garbage');
  t.equal(readProcessFile(file), null);
});

t.test('a second start in the same directory is refused while the first lives', async (t) => {
  const dir = t.testdir();
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  writeProcessFile(path.join(dir, 'start.pid'), child.pid ?? 0);
  t.throws(() => takeOwnership(dir), { exitCode: 4, message: /already up/ });
  child.kill('SIGKILL');
  await once(child, 'exit');
  const release = takeOwnership(dir);
  t.ok(existsSync(path.join(dir, 'start.pid')));
  release();
  t.notOk(existsSync(path.join(dir, 'start.pid')));
});

t.test('the live view tells of replicas that end and leaders that change', async (t) => {
  const replica = (id: number, state: 'running' | 'paused' | 'stopped', pid: number | null) => ({
    id,
    address: `127.0.0.1:1500${id}`,
    state,
    pid,
  });
  const before = {
    processes: [replica(1, 'running', 11), replica(2, 'running', 12)],
    reports: [report(1, 'leader'), report(2, 'follower')],
  };
  t.same(changes(before, before), []);
  const after = {
    processes: [replica(1, 'stopped', null), replica(2, 'running', 12)],
    reports: [report(2, 'leader')],
  };
  t.same(changes(before, after), [
    'replica 1 ended; start it with: kvctl cluster restart 1',
    'leader is replica 2',
  ]);
  t.same(changes(after, { processes: [replica(1, 'running', 13), replica(2, 'paused', 12)], reports: [] }), [
    'replica 1 runs (pid 13)',
    'replica 2 is paused',
    'no leader',
  ]);
});

t.test('a line of status has its fields, reachable or not', async (t) => {
  const one: ReplicaReport = report(1, 'leader', { chosenThrough: 20, appliedThrough: 20 });
  const two: ReplicaReport = { id: 2, address: 'h:2', reachable: false, error: 'refused', status: {} };
  const three: ReplicaReport = report(3, 'follower', { chosenThrough: 9, appliedThrough: 8 });
  const all = [one, two, three];
  t.match(statusLine(three, all), { id: 3, role: 'follower', reachable: true, chosenThrough: 9, lag: 12 });
  const line = statusLine(two, all);
  t.match(line, {
    id: 2,
    address: 'h:2',
    role: 'unreachable',
    reachable: false,
    ballot: null,
    error: 'refused',
  });
  for (const field of ['chosenThrough', 'appliedThrough', 'revision', 'stateHash', 'incarnation']) {
    t.equal(line[field], null, field);
  }
});

t.test('who cannot be reached lags as far as the leader knows', async (t) => {
  const gone: ReplicaReport = {
    id: 2,
    address: 'h:2',
    reachable: false,
    error: 'connection refused',
    status: {},
  };
  const leader = report(1, 'leader', { chosenThrough: 20, appliedThrough: 20 });
  const notes = new Map([[2, { note: 'cannot be reached', lag: 7 }]]);
  t.match(statusLine(gone, [leader, gone], notes), { lag: 7, note: 'cannot be reached' });
  const row = statusTable([leader, gone], notes).split('\n').at(-2) ?? '';
  t.match(row, /h:2 +│ unreachable │ 7 +│ connection refused +│/, 'and says once that it is gone');
});

t.test('a table that is too wide keeps what is wrong', async (t) => {
  const reason = 'no leader is known';
  const one = report(1, 'candidate', { ready: false, reason, ballot: '18.1', stateHash: 'e4f5bd393626371b' });
  for (const [columns, width] of [
    [80, 80],
    [0, 80],
    [200, 200],
  ] as const) {
    let shown = '';
    const stdout = { isTTY: true, columns, write: (text: string) => (shown += text) };
    const process = { id: 1, address: one.address, state: 'running', pid: 1 } as const;
    new LiveView(stdout as unknown as NodeJS.WriteStream).show({ processes: [process], reports: [one] });
    const rows = shown.split('\n').filter((line) => line.startsWith('│'));
    t.match(rows[1], /candidate .*not ready: no leader is known/, `${columns} columns`);
    for (const row of rows) t.ok(row.length <= width);
  }
});

t.test('a replica that is silent is waited for once, and why it is not ready is asked for', async (t) => {
  const asked: string[] = [];
  const silent = await serve(t, (url) => {
    asked.push(`silent ${url}`);
    return null;
  });
  const status = {
    id: 1,
    role: 'candidate',
    ready: false,
    reason: '',
    members: [{ id: 2, address: silent }],
  };
  const one = await serve(t, (url) => {
    asked.push(`one ${url}`);
    if (url === '/v1/status') return [200, status];
    return [503, { code: 'KVD_UNAVAILABLE', message: 'no leader is known' }];
  });
  const reports = await askReplicas([one, silent], 300);
  t.match(reports, [
    { id: 1, reachable: true, status: { ready: false, reason: 'no leader is known' } },
    { id: 2, address: silent, reachable: false, error: 'did not answer within 300 ms' },
  ]);
  t.same(asked.sort(), ['one /readyz', 'one /v1/status', 'silent /v1/status']);
});

t.test('each kind of error has its exit code', async (t) => {
  t.equal(exitCodeOf(usage('x')), 2);
  t.equal(exitCodeOf(refused('x')), 4);
  t.equal(exitCodeOf(new KvdError('KVD_TOO_LARGE', 'x')), 4);
  t.equal(exitCodeOf(new KvdError('KVD_UNAVAILABLE', 'x')), 3);
  t.equal(exitCodeOf(new KvdError('KVD_OUTCOME_UNKNOWN', 'x')), 5);
  for (const code of ['KVD_CLOSED', 'KVD_NOT_AN_INTEGER', 'KVD_LEASE_NOT_FOUND'] as const)
    t.equal(exitCodeOf(new KvdError(code, 'x', 'unknown')), 5, `what may have happened is unknown: ${code}`);
  t.equal(exitCodeOf(new KvdError('KVD_SESSION_EXPIRED', 'x')), 5);
});

/** A replica's HTTP; null: it says nothing. */
async function serve(
  t: Test,
  answer: (url: string) => [status: number, json: object] | null,
): Promise<string> {
  const server = http.createServer((request, response) => {
    const said = answer(request.url ?? '');
    if (said !== null) response.writeHead(said[0]).end(JSON.stringify(said[1]));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function report(id: number, role: string, more: Record<string, unknown> = {}): ReplicaReport {
  return { id, address: `127.0.0.1:1500${id}`, reachable: true, error: '', status: { id, role, ...more } };
}
