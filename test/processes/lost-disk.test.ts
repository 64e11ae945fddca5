/**
 * Replicas that lag, lose their disk or find it damaged, on real processes and real LevelDB directories: they come back
 * by what their peers know, and never vote on what they cannot remember.
 */
import {
  cpSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { connect } from '@kvd/client';
import { test } from 'tap';
import { startCluster, type TestCluster } from '../support/cluster.js';

const KEYS = 40;

async function putAll(cluster: TestCluster, prefix: string, count = KEYS): Promise<void> {
  const kv = await connect({ endpoints: cluster.endpoints });
  await Promise.all(Array.from({ length: count }, (_, i) => kv.put(`${prefix}${i}`, `value ${i}`)));
  await kv.close();
}

async function readAll(cluster: TestCluster, prefix: string, count = KEYS): Promise<number> {
  const kv = await connect({ endpoints: cluster.endpoints });
  let right = 0;
  for (let i = 0; i < count; i++) if ((await kv.get(`${prefix}${i}`))?.text() === `value ${i}`) right += 1;
  await kv.close();
  return right;
}

/** The write-ahead file that LevelDB holds what was written last in. */
function levelLogOf(directory: string): string {
  const files = readdirSync(directory).filter((name) => name.endsWith('.log'));
  const largest = files
    .map((name) => path.join(directory, name))
    .sort((a, b) => statSync(b).size - statSync(a).size)[0];
  if (largest === undefined) throw new Error(`no write-ahead file in ${directory}`);
  return largest;
}

function flipByteInTheMiddle(file: string): void {
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  const handle = openSync(file, 'r+');
  writeSync(handle, Buffer.of((bytes[middle] as number) ^ 0x40), 0, 1, middle);
  closeSync(handle);
}

const DAMAGES: readonly { readonly name: string; readonly inflict: (directory: string) => void }[] = [
  { name: 'its directory is wiped', inflict: (directory) => rmSync(directory, { recursive: true }) },
  {
    name: 'a byte in the middle of its log is flipped',
    inflict: (directory) => flipByteInTheMiddle(levelLogOf(path.join(directory, 'log'))),
  },
  {
    // A write takes 115 bytes at least, and the last one may not have been acknowledged when the process was killed.
    name: 'the last 400 bytes of its log are cut off',
    inflict: (directory) => {
      const file = levelLogOf(path.join(directory, 'log'));
      truncateSync(file, statSync(file).size - 400);
    },
  },
  {
    name: 'the CURRENT of its log is gone',
    inflict: (directory) => rmSync(path.join(directory, 'log', 'CURRENT')),
  },
];

for (const { name, inflict } of DAMAGES) {
  test(`three replicas, A is down and C comes back after ${name}`, async (t) => {
    const cluster = await startCluster({ replicas: 3 });
    t.teardown(() => cluster.close());
    await putAll(cluster, 'k');
    const before = (await cluster.status(3))?.incarnation;
    await cluster.kill(1);
    await putAll(cluster, 'later');
    await cluster.kill(3);
    inflict(cluster.dataDir(3));
    await cluster.start(3);

    await isCaughtUpLearner(cluster, 3);
    const status = await cluster.status(3);
    t.not(status?.incarnation, before, 'it is another incarnation');
    t.match(status?.reason ?? '', /does not vote/, 'and status says why it is a learner');
    t.equal(await staleRead(cluster, 3, 'later7'), 'value 7', 'it has learned everything and serves reads');
    for (const id of [2, 3])
      t.equal(await tryPut(cluster, id), 503, `replica ${id}: B and C together refuse writes`);
    if (name !== DAMAGES[0]?.name)
      t.match(cluster.log(3), /directory-set-aside/, 'it says loudly that it set a directory aside');

    await cluster.restart(1);
    t.equal(await tryPut(cluster, 3), 200, 'with A back, writes are taken again');
    t.equal(await readAll(cluster, 'k'), KEYS);
    t.equal(await readAll(cluster, 'later'), KEYS, 'everything acknowledged is there');
    await cluster.waitFor('C to be admitted again', async () => {
      const { role = '' } = (await cluster.status(3)) ?? {};
      return role === 'follower' || role === 'leader' || undefined;
    });
    await cluster.waitSameState();
  });
}

test('three replicas, A is down and C has lost its state alone: C goes on voting', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  await putAll(cluster, 'k');
  const before = (await cluster.status(3))?.incarnation;
  await cluster.kill(1);
  await cluster.kill(3);
  rmSync(path.join(cluster.dataDir(3), 'state'), { recursive: true });
  await cluster.restart(3);
  t.equal(await tryPut(cluster, 2), 200, 'B and C are a majority');
  const status = await cluster.status(3);
  t.equal(status?.incarnation, before, 'it is the same incarnation');
  t.not(status?.role, 'learner');
  t.equal(await readAll(cluster, 'k'), KEYS);
  await cluster.waitSameState([2, 3]);
});

test('a replica whose directory was rolled back to an older copy is told so, and loses its vote', async (t) => {
  const cluster = await startCluster({ replicas: 3, flags: ['--readmit', 'manual'] });
  t.teardown(() => cluster.close());
  await putAll(cluster, 'k');
  await cluster.stop(3);
  const copy = path.join(t.testdir({}), 'copy');
  cpSync(cluster.dataDir(3), copy, { recursive: true });
  await cluster.restart(3);
  await putAll(cluster, 'later');
  await cluster.waitSameState();
  await cluster.kill(3);
  rmSync(cluster.dataDir(3), { recursive: true });
  cpSync(copy, cluster.dataDir(3), { recursive: true });
  await cluster.start(3);
  t.same(await cluster.ended(3), { code: 4, signal: null }, 'storage failed');
  t.match(cluster.log(3), /older copy of itself/);
  await cluster.start(3);
  await isCaughtUpLearner(cluster, 3);
  t.equal(await readAll(cluster, 'later'), KEYS);
});

test('one replica alone with a damaged log does not found itself anew', async (t) => {
  const cluster = await startCluster({ replicas: 1 });
  t.teardown(() => cluster.close());
  await putAll(cluster, 'k');
  await cluster.kill(1);
  flipByteInTheMiddle(levelLogOf(path.join(cluster.dataDir(1), 'log')));
  await cluster.start(1);
  const status = await cluster.waitFor('an answer', async () => (await cluster.status(1)) ?? undefined);
  t.equal(status.role, 'founding');
  t.match(status.reason, /set aside/);
  t.equal(await tryPut(cluster, 1), 503, 'it takes nothing');
  const still = await cluster.status(1);
  t.equal(still?.clusterId, '', 'and knows no cluster');
  t.equal(still?.ready, false);

  await cluster.kill(1);
  await cluster.start(1);
  await cluster.waitFor('an answer', async () => (await cluster.status(1)) ?? undefined);
  t.equal(await tryPut(cluster, 1), 503, 'nor after another start');
});

test('a replica that was down while the log was cut catches up by snapshot', async (t) => {
  const cluster = await startCluster({ replicas: 3, flags: ['--snapshot-slots', '300'] });
  t.teardown(() => cluster.close());
  await putAll(cluster, 'early');
  await cluster.kill(3);
  const missedFrom = (await cluster.status(1))?.chosenThrough ?? 0;
  const kv = await connect({ endpoints: cluster.endpoints });
  const cutAbove = async (): Promise<true | undefined> => {
    const statuses = await Promise.all([1, 2].map((id) => cluster.status(id)));
    return statuses.every((status) => (status?.cutThrough ?? 0) > missedFrom + 100) ? true : undefined;
  };
  // One after another, so that each takes a slot of its own.
  for (let i = 0; (await cutAbove()) === undefined; i++) await kv.put(`missed${i % 500}`, `value ${i % 500}`);
  await kv.delete('early0');
  await kv.close();
  await cluster.restart(3);
  await cluster.waitSameState();
  t.match(cluster.log(3), /snapshot-installed/, 'it took a snapshot');
  t.equal(await staleRead(cluster, 3, 'missed250'), 'value 250');
  t.equal(await staleRead(cluster, 3, 'early0'), undefined, 'what was deleted meanwhile is gone there too');
  await cluster.kill(1);
  await cluster.leader();
  t.equal(await tryPut(cluster, 3), 200, 'it votes like any other');
});

async function isCaughtUpLearner(cluster: TestCluster, id: number): Promise<void> {
  const goal = (await cluster.status(2))?.chosenThrough ?? 0;
  await cluster.waitFor(`replica ${id} to be a learner that knows ${goal} slots`, async () => {
    const status = await cluster.status(id);
    return status?.role === 'learner' && status.appliedThrough >= goal && goal > 1 ? true : undefined;
  });
}

async function tryPut(cluster: TestCluster, id: number): Promise<number> {
  const answer = await fetch(`http://${cluster.address(id)}/v1/kv/probe`, {
    method: 'PUT',
    body: 'x',
    headers: { 'Kvd-Timeout-Ms': '2000' },
  });
  await answer.text();
  return answer.status;
}

async function staleRead(cluster: TestCluster, id: number, key: string): Promise<string | undefined> {
  const answer = await fetch(`http://${cluster.address(id)}/v1/kv/${key}?consistency=stale`);
  const text = await answer.text();
  return answer.status === 200 ? text : undefined;
}
