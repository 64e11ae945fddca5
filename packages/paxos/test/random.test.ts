/**
 * Random faults over hundreds of seeds, 1 to 9 replicas: see support/storm.ts for the faults, support/oracle.ts for what
 * is judged. One seed again: KVD_SEED=123 npx tap packages/paxos/test/random.test.ts
 */
import { test } from 'tap';
import { runStorm, weatherOf } from './support/storm.js';

const SEEDS = 360;
const chosenSeed = process.env.KVD_SEED;
const seeds =
  chosenSeed === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(chosenSeed)];

for (const size of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
  const mine = seeds.filter((seed) => weatherOf(seed).size === size);
  if (mine.length === 0) continue;
  test(`${size} ${size === 1 ? 'replica' : 'replicas'} in storms: safe all along, and at work again after`, async (t) => {
    let slots = 0;
    let reads = 0;
    for (const seed of mine) {
      try {
        const report = runStorm(seed);
        slots += report.slots;
        reads += report.reads;
      } catch (error) {
        t.fail(`seed ${seed}: ${(error as Error).message}`, {
          stack: (error as Error).stack ?? '',
          found: weatherOf(seed),
        });
      }
    }
    t.comment(`${mine.length} seeds, ${slots} slots chosen, ${reads} reads confirmed`);
    if (chosenSeed === undefined)
      t.ok(slots > mine.length * 5, 'a storm in which nothing happens proves nothing');
  });
}

test('the same seed gives the same run', async (t) => {
  const [first, second] = [runStorm(5), runStorm(5)];
  t.equal(first.calmTicks, second.calmTicks);
  t.same(
    first.cluster.replicas.map(({ disk, applied }) => [disk.marker, disk.promised, applied]),
    second.cluster.replicas.map(({ disk, applied }) => [disk.marker, disk.promised, applied]),
  );
});

for (const size of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
  test(`${size} ${size === 1 ? 'replica' : 'replicas'} in fair weather`, async (t) => {
    const calm = {
      loss: 0,
      doubling: 0,
      delay: 0,
      reorder: false,
      slowDisk: 0,
      crash: 0,
      roleKill: 0,
      partition: 0,
    };
    const weather = {
      ...weatherOf(1),
      ...calm,
      size,
      alpha: 8,
      wipe: 0,
      reconfigure: 'never',
      cut: 0,
      campaign: 0,
    } as const;
    const { slots, reads, cluster } = runStorm(size, weather);
    t.ok(slots > 60, `${slots} slots`);
    t.ok(reads > 20, `${reads} reads`);
    t.ok(Math.max(...cluster.replicas.map(({ disk }) => disk.promised.counter)) < 8, 'one leader, or a few');
  });
}
