/** Replicas that fail on purpose, all the time, while two of them compete for leadership: the cluster goes on. */
import { type Test, test } from 'tap';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { assertNothingLost, letRun, Writers } from '../support/writers.js';

const RUN_MS = 60_000;
const STRETCH_MS = 10_000;
const COMPETE_EVERY_MS = 1_000;

test('nine replicas whose roles all fail at 5 %, two of them competing for leadership', async (t) => {
  await survivesChaos(t, 9, ['--chaos-fail-rate', '0.05', '--chaos-roles', 'acceptor,learner,proposer']);
});

test('five replicas whose acceptors fail at 25 %, two of them competing for leadership', async (t) => {
  await survivesChaos(t, 5, ['--chaos-fail-rate', '0.25', '--chaos-roles', 'acceptor']);
});

async function survivesChaos(t: Test, replicas: number, chaos: readonly string[]): Promise<void> {
  const flags = [...chaos, '--chaos-interval-ms', '1000', '--chaos-down-ms', '1000'];
  const cluster = await startCluster({ replicas, flags });
  t.teardown(() => cluster.close());
  const writers = new Writers(cluster, 8);
  const startedMs = performance.now();
  const endMs = startedMs + RUN_MS;
  while (performance.now() < endMs) {
    await Promise.all([1, 2].map((id) => campaign(cluster, id)));
    await letRun(COMPETE_EVERY_MS);
  }
  const kills = await countKills(cluster);
  await Promise.all(cluster.ids.map((id) => setChaosOff(cluster, id)));
  const counts = writers.perStretch(startedMs, startedMs + RUN_MS, STRETCH_MS);
  t.comment(`${kills} roles killed; writes in each ten seconds: ${counts.join(', ')}`);
  t.ok(kills > 0, 'roles were really killed');
  t.ok(
    counts.every((count) => count > 0),
    'progress in every ten seconds',
  );
  await cluster.waitReady();
  await assertNothingLost(t, cluster, writers);
  t.same(writers.errors, [], 'no writer saw an error');
}

async function campaign(cluster: TestCluster, id: number): Promise<void> {
  await fetch(`http://${cluster.address(id)}/v1/chaos/campaign`, { method: 'POST' });
}

async function setChaosOff(cluster: TestCluster, id: number): Promise<void> {
  const answer = await fetch(`http://${cluster.address(id)}/v1/chaos`, {
    method: 'PUT',
    body: JSON.stringify({ failRate: 0 }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

async function countKills(cluster: TestCluster): Promise<number> {
  const logs = cluster.ids.map((id) => cluster.log(id));
  return logs.reduce((sum, log) => sum + log.split('"event":"role-killed"').length - 1, 0);
}
