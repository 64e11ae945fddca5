/** Real processes, kill -9 for two minutes, eight concurrent writers: what was acknowledged stays, and stays once. */
import { test } from 'tap';
import { startCluster } from '../support/cluster.js';
import { pick, seededRandom, testSeed } from '../support/random.js';
import { assertNothingLost, letRun, Writers } from '../support/writers.js';

const CRASHING_MS = 120_000;

test('any two of five are killed and restarted for two minutes', async (t) => {
  const seed = testSeed();
  t.comment(`KVD_TEST_SEED=${seed}`);
  const random = seededRandom(seed);
  const cluster = await startCluster({ replicas: 5 });
  t.teardown(() => cluster.close());
  const writers = new Writers(cluster, 8);
  const endMs = performance.now() + CRASHING_MS;
  let crashes = 0;
  while (performance.now() < endMs) {
    const two = pick(random, cluster.ids, 2);
    await Promise.all(two.map((id) => cluster.kill(id)));
    crashes += 2;
    await letRun(200 + random() * 1_500);
    await Promise.all(two.map((id) => cluster.restart(id)));
    await letRun(random() * 1_500);
  }
  await assertNothingLost(t, cluster, writers);
  t.same(writers.errors, [], 'no writer saw an error');
  t.ok(
    writers.acknowledgedAt.length > 1_000,
    `${writers.acknowledgedAt.length} writes through ${crashes} crashes`,
  );
});
