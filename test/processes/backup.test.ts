/**
 * Backups of real clusters: taken while writes go on, checked, restored, and what the new cluster then is: exactly the
 * state of one revision, to nobody's surprise.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connect, type KvdClient, KvdError } from '@kvd/client';
import { type Test, test } from 'tap';
import { kvctlBin, root, startCluster, type TestCluster } from '../support/cluster.js';
import { freePorts, http, KvdProcess, until } from '../support/kvd-process.js';

const REVISION_STEP = 1_000_000_000;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function kvctl(endpoints: readonly string[], ...args: readonly string[]): Promise<Ran> {
  const words = [kvctlBin, '-e', endpoints.join(','), '-o', 'json', '--timeout', '20000', ...args];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

function json(t: Test, ran: Ran): Record<string, unknown> {
  t.equal(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout) as Record<string, unknown>;
}

/** Puts one new key after the other, and remembers the revision of each that was acknowledged. */
class Puts {
  readonly acknowledged = new Map<string, number>();
  private stopping = false;
  private readonly lanes: Promise<void>[];

  constructor(kv: KvdClient, lanes: number) {
    this.lanes = Array.from({ length: lanes }, (_, lane) => this.run(kv, lane));
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.lanes);
  }

  private async run(kv: KvdClient, lane: number): Promise<void> {
    for (let i = 0; !this.stopping; i += 1) {
      const key = `lane ${lane} key ${i}`;
      const { revision } = await kv.put(key, valueOf(key));
      this.acknowledged.set(key, revision);
    }
  }
}

const valueOf = (key: string): string => `${key} `.repeat(8);

/** The directories of `from` in place of those of the cluster, which does not run. */
function moveIn(cluster: TestCluster, from: string): void {
  for (const id of cluster.ids) {
    cluster.wipe(id);
    renameSync(path.join(from, `replica-${id}`), cluster.dataDir(id));
  }
}

const peersOf = (cluster: TestCluster): string =>
  cluster.ids.map((id) => `${id}=${cluster.address(id)}`).join(',');

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'done';
  } catch (error) {
    return error instanceof KvdError ? error.code : String(error);
  }
}

test('a backup taken under load and restored is one state: all that was acknowledged before, nothing after', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  const old = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => old.close());
  const { lease } = json(t, await kvctl(cluster.endpoints, 'lease', 'grant', '3600'));
  t.equal((await kvctl(cluster.endpoints, 'put', 'leased', 'still here', '--lease', String(lease))).code, 0);
  await http(portOf(cluster, 1), 'PUT', '/v1/kv/ordered', {
    headers: { 'Idempotency-Key': 'order-7' },
    body: 'once',
  });
  const puts = new Puts(old, 4);
  const file = path.join(cluster.dir, 'while-writing.backup');
  const saves = [];
  // From each replica in turn: what had been acknowledged when it began must be in it, follower or leader.
  for (const id of cluster.ids) {
    const size = puts.acknowledged.size;
    await until(() => puts.acknowledged.size > size + 300, 'more writes');
    const before = Math.max(...puts.acknowledged.values());
    const saved = json(t, await kvctl([cluster.address(id)], 'snapshot', 'save', file, '--overwrite'));
    t.equal(saved['replica'], id);
    t.ok(Number(saved['revision']) >= before, `revision ${String(saved['revision'])} of at least ${before}`);
    saves.push(saved);
  }
  const size = puts.acknowledged.size;
  await until(() => puts.acknowledged.size > size + 100, 'writes after the backup');
  await puts.stop();
  const saved = saves.at(-1) ?? {};
  const revision = Number(saved['revision']);
  const status = json(t, await kvctl([], 'snapshot', 'status', file));
  t.match(status, { ...saved, ms: undefined }, 'status says what save said');

  const restored = path.join(cluster.dir, 'restored');
  const said = json(
    t,
    await kvctl([], 'snapshot', 'restore', file, '--data', restored, '--peers', peersOf(cluster)),
  );
  t.match(said, { revision: revision + REVISION_STEP, compactRevision: revision + REVISION_STEP });
  t.equal(said['contentHash'], saved['contentHash'], 'the hash is that of the backup');
  t.not(said['clusterId'], saved['clusterId']);

  // The new cluster takes the old one's place, at the same addresses: nobody is told.
  await Promise.all(cluster.ids.map((id) => cluster.stop(id)));
  moveIn(cluster, restored);
  await Promise.all(cluster.ids.map((id) => cluster.start(id)));
  await cluster.waitReady();
  await cluster.waitSameState();
  for (const each of await cluster.statuses())
    t.match(each, { clusterId: said['clusterId'], reason: '', compactRevision: revision + REVISION_STEP });

  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  const found = new Map<string, string>();
  for await (const entry of kv.scan({ prefix: 'lane ' })) found.set(entry.key, entry.text());
  const wrong = [...puts.acknowledged].filter(([key, at]) =>
    at <= revision ? found.get(key) !== valueOf(key) : found.has(key),
  );
  t.same(wrong, [], 'each key is there if and only if it was put by the revision of the backup');
  t.equal(found.size, [...puts.acknowledged.values()].filter((at) => at <= revision).length);
  t.ok(found.size < puts.acknowledged.size, 'some came after it');

  await t.test('a watcher, a reader and a client of the old cluster are told', async (t) => {
    const latest = Math.max(...puts.acknowledged.values());
    for (const fromRevision of [1, revision, revision + 1, latest + 1]) {
      const events = kv.watch({ prefix: '', fromRevision });
      t.equal(await codeOf(events[Symbol.asyncIterator]().next()), 'KVD_COMPACTED', `from ${fromRevision}`);
      t.equal(await codeOf(kv.get('leased', { revision: fromRevision })), 'KVD_COMPACTED');
    }
    const resumed = await http(portOf(cluster, 2), 'GET', '/v1/watch?prefix=', {
      headers: { 'Last-Event-ID': String(latest) },
    });
    t.match(resumed, { status: 410, text: /KVD_COMPACTED/ });
    const refused = await old.put('from the past', '1').catch((error: unknown) => error);
    t.match(refused, { code: 'KVD_UNAVAILABLE', outcome: 'not-done' }, 'it asks for its own cluster');
    t.equal(await kv.get('from the past'), undefined);
  });

  await t.test('what is to go on goes on: revisions, leases, idempotency keys', async (t) => {
    t.ok((await kv.put('new', '1')).revision > revision + REVISION_STEP);
    t.match(json(t, await kvctl(cluster.endpoints, 'lease', 'list')), { lease });
    t.equal((await kv.get('leased'))?.text(), 'still here');
    const again = await http(portOf(cluster, 3), 'PUT', '/v1/kv/ordered', {
      headers: { 'Idempotency-Key': 'order-7' },
      body: 'once',
    });
    t.ok(
      (JSON.parse(again.text) as { revision: number }).revision <= revision,
      'it was done before the backup',
    );
  });

  await t.test('the new cluster takes a wiped replica back from its own state', async (t) => {
    const leader = await cluster.leader();
    const follower = cluster.ids.find((id) => id !== leader) ?? 1;
    await cluster.kill(follower);
    cluster.wipe(follower);
    await cluster.start(follower);
    await cluster.waitReady();
    t.ok(await cluster.waitSameState());
  });
});

test('a restore that is killed in the middle leaves nothing that starts as a cluster', async (t) => {
  const cluster = await startCluster({ replicas: 1 });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints });
  await Promise.all(Array.from({ length: 200 }, (_, i) => kv.put(`key ${i}`, 'x'.repeat(10_000))));
  await kv.close();
  const file = path.join(cluster.dir, 'whole.backup');
  json(t, await kvctl(cluster.endpoints, 'snapshot', 'save', file));
  const bytes = readFileSync(file);

  const [port = 0] = await freePorts(1);
  const data = path.join(cluster.dir, 'killed');
  const peers = `1=127.0.0.1:${port}`;
  const words = [kvctlBin, 'snapshot', 'restore', '-', '--data', data, '--peers', peers];
  const restore = spawn(process.execPath, words, { stdio: ['pipe', 'inherit', 'inherit'] });
  // It is killed with some of it unread.
  restore.stdin.on('error', () => undefined);
  restore.stdin.write(bytes.subarray(0, bytes.length / 2));
  await until(() => existsSync(path.join(data, 'replica-1', 'state', 'CURRENT')), 'the state to be begun');
  restore.kill('SIGKILL');
  await once(restore, 'close');
  t.notOk(existsSync(path.join(data, 'replica-1', 'identity.json')));

  const kvd = await new KvdProcess(t, [
    '--id',
    '1',
    '--peers',
    peers,
    '--data',
    path.join(data, 'replica-1'),
  ]).ready();
  t.match(kvd.stderr, /WARNING.*identity file is missing/);
  t.match((await http(port, 'GET', '/readyz')).status, 503);
  t.match(await http(port, 'GET', '/v1/status'), { text: /"role":"founding".*set aside/ });
  t.equal(await kvd.kill('SIGTERM'), 0);
  const again = await kvctl([], 'snapshot', 'restore', file, '--data', data, '--peers', peers);
  t.match(again, { code: 4, stderr: /KVCTL_BACKUP_NOT_EMPTY/ });
});

test('a backup that is cut, altered, or of something else makes no cluster', async (t) => {
  const cluster = await startCluster({ replicas: 1 });
  t.teardown(() => cluster.close());
  const file = path.join(cluster.dir, 'whole.backup');
  json(t, await kvctl(cluster.endpoints, 'put', 'a', '1'));
  const saved = json(t, await kvctl(cluster.endpoints, 'snapshot', 'save', file));
  const bytes = readFileSync(file);
  t.equal(saved['bytes'], bytes.length);
  const bad = path.join(cluster.dir, 'bad.backup');
  const data = path.join(cluster.dir, 'new');
  const middle = bytes.length >> 1;
  const flipped = Buffer.from(bytes);
  flipped[middle] = (flipped[middle] ?? 0) ^ 1;
  for (const [content, kind] of [
    [bytes.subarray(0, middle), 'DAMAGED'],
    [bytes.subarray(0, bytes.length - 1), 'DAMAGED'],
    [flipped, 'DAMAGED'],
    [Buffer.from('{"key":"a","value":"1"}\n'), 'NO_BACKUP'],
  ] as const) {
    writeFileSync(bad, content);
    t.match(await kvctl([], 'snapshot', 'status', bad), { code: 1, stdout: /"whole":false/ });
    const refused = await kvctl([], 'snapshot', 'restore', bad, '--data', data, '--peers', '1=127.0.0.1:1');
    t.match(refused, { code: 4, stderr: new RegExp(`KVCTL_BACKUP_${kind}`) });
    t.same(existsSync(data) ? readdirSync(data) : [], []);
  }
});

function portOf(cluster: TestCluster, id: number): number {
  return Number(cluster.address(id).split(':')[1]);
}

test('what docs/BACKUP.md tells to type works as it is written', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints });
  await kv.put('a', '1');
  await kv.close();
  const directory = t.testdir({});
  symlinkSync(path.join(root, 'bin'), path.join(directory, 'bin'));
  const ports = await freePorts(3);
  const env = { ...process.env, KVCTL_ENDPOINTS: cluster.endpoints.join(',') };
  const here = (command: string): string =>
    command
      .replace(/10\.0\.0\.(\d):15000/g, (_, id: string) => cluster.address(Number(id)))
      .replace(/10\.0\.1\.(\d):15000/g, (_, id: string) => `127.0.0.1:${ports[Number(id) - 1]}`);
  let daemons = 0;
  for (const command of typedIn('docs/BACKUP.md')) {
    // Another tool's part of a pipe is not ours to test.
    if (command.includes('zstd')) continue;
    if (command.startsWith('bin/kvd ')) {
      await new KvdProcess(t, command.split(' ').slice(1), {}, directory).ready();
      daemons += 1;
      continue;
    }
    const child = spawn('sh', ['-c', here(command)], {
      cwd: directory,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    t.equal(code, 0, `${command}\n${code === 0 ? '' : said}`);
  }
  t.equal(daemons, 1);
  t.match(readdirSync(directory).sort(), ['bin', /^kvd-\d{4}-\d\d-\d\d\.backup$/, 'kvd.backup', 'restored']);
});

function typedIn(document: string): string[] {
  const text = readFileSync(path.join(root, document), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) =>
    block.trim().split('\n'),
  );
}
