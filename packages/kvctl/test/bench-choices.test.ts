/** What `kvctl bench` chooses by chance: which operation, which key, which value. */
import t from 'tap';
import { KeySpace, keyChoice } from '../src/bench/keys.js';
import { stampOf, Values } from '../src/bench/values.js';
import { mixer, workloadOf } from '../src/bench/workloads.js';
import { scatteredZipfian, THETA, Zipfian, zetaBetween } from '../src/bench/zipfian.js';
import { seededRandom } from '../src/drill/random.js';

const DRAWS = 200_000;

/** How often each number came. */
function drawn(next: () => number, draws = DRAWS): Map<number, number> {
  const counts = new Map<number, number>();
  for (let i = 0; i < draws; i++) {
    const number = next();
    counts.set(number, (counts.get(number) ?? 0) + 1);
  }
  return counts;
}

/** Within five standard deviations of what a probability makes expect. */
function isLikely(count: number, probability: number, draws = DRAWS): boolean {
  return Math.abs(count - draws * probability) < 5 * Math.sqrt(draws * probability * (1 - probability));
}

t.test('zipfian: the ranks come as often as they should', async (t) => {
  const items = 1_000;
  const zipfian = new Zipfian(seededRandom(7), items);
  const counts = drawn(() => zipfian.next());
  const zeta = zetaBetween(0, items, THETA);
  const share = (rank: number): number => 1 / (rank + 1) ** THETA / zeta;
  for (const rank of [0, 1]) t.ok(isLikely(counts.get(rank) ?? 0, share(rank)), `rank ${rank}, exactly`);
  // Those above are an approximation, which is good for a rank to a sixth and for many together to a twentieth.
  for (let rank = 2; rank < 20; rank++) {
    const ratio = (counts.get(rank) ?? 0) / (DRAWS * share(rank));
    t.ok(ratio > 5 / 6 && ratio < 7 / 6, `rank ${rank}: ${ratio.toFixed(3)} of what it should`);
  }
  for (const top of [10, 100, 500]) {
    let counted = 0;
    let expected = 0;
    for (let rank = 0; rank < top; rank++) {
      counted += counts.get(rank) ?? 0;
      expected += DRAWS * share(rank);
    }
    t.ok(Math.abs(counted / expected - 1) < 0.05, `the top ${top}: ${(counted / expected).toFixed(3)}`);
  }
  t.ok(Math.max(...counts.keys()) < items, 'none is beyond the last');
  t.ok(counts.size > items * 0.95, 'and hardly one never comes');
});

t.test('zipfian: grown rank by rank it is as if made so', async (t) => {
  const grown = new Zipfian(seededRandom(3), 5);
  for (let ranks = 6; ranks <= 400; ranks++) grown.grow(ranks);
  grown.grow(100);
  const made = new Zipfian(seededRandom(3), 400);
  for (let i = 0; i < 1_000; i++) {
    const [one, other] = [grown.next(), made.next()];
    if (one !== other) t.equal(one, other);
  }
  t.ok(new Zipfian(seededRandom(1), 1).next() === 0, 'of one there is one');
  const two = new Zipfian(seededRandom(2), 2);
  t.same(
    [...drawn(() => two.next()).keys()].sort((a, b) => a - b),
    [0, 1],
  );
});

t.test('scattered: the popular ones are as popular as those of YCSB, and lie anywhere', async (t) => {
  const items = 10_000;
  const counts = drawn(scatteredZipfian(seededRandom(5), items));
  const popular = [...counts].sort(([, a], [, b]) => b - a);
  // What else is folded onto a popular key is far less than a standard deviation.
  const shares = [1, 0.5 ** THETA].map((weight) => weight / 26.469);
  shares.forEach((share, rank) => {
    t.ok(isLikely(popular[rank]?.[1] ?? 0, share), `number ${rank + 1} in popularity`);
  });
  const [first = -1, second = -1] = popular.map(([number]) => number);
  t.ok(Math.abs(first - second) > 1, 'they are no neighbours');
  t.ok(
    [...counts.keys()].every((number) => Number.isInteger(number) && number >= 0 && number < items),
    'all are keys',
  );
  t.ok(counts.size > items * 0.9, 'and most keys come');
});

t.test('keys: names are in order, and inserted ones count when all before them are there', async (t) => {
  const keys = new KeySpace('bench/x/', 2);
  t.equal(keys.name(12), 'bench/x/0000000012');
  t.ok(keys.name(9) < keys.name(10) && keys.name(99) < keys.name(100));
  const [a, b] = [keys.insert(), keys.insert()];
  t.same([a, b, keys.count, keys.end], [2, 3, 2, 4]);
  keys.inserted(b);
  t.equal(keys.count, 2, 'the one before it is under way');
  keys.inserted(a);
  t.equal(keys.count, 4);
});

t.test('keys: the latest are the popular ones, also those that have just come', async (t) => {
  const keys = new KeySpace('', 1_000);
  const choose = keyChoice('latest', keys, seededRandom(11));
  const zeta = zetaBetween(0, 1_000, THETA);
  t.ok(isLikely(drawn(choose).get(999) ?? 0, 1 / zeta), 'the last of those loaded');
  for (let i = 0; i < 100; i++) keys.inserted(keys.insert());
  const later = drawn(choose);
  t.ok(isLikely(later.get(1_099) ?? 0, 1 / zetaBetween(0, 1_100, THETA)), 'the last inserted');
  t.ok(Math.max(...later.keys()) === 1_099 && Math.min(...later.keys()) >= 0);
});

t.test('keys: uniform, and the same for the same seed', async (t) => {
  const keys = new KeySpace('', 50);
  const counts = drawn(keyChoice('uniform', keys, seededRandom(1)));
  for (let number = 0; number < 50; number++)
    if (!isLikely(counts.get(number) ?? 0, 1 / 50)) t.fail(`key ${number}`);
  const sequence = (seed: number): number[] => {
    const choose = keyChoice('zipfian', keys, seededRandom(seed));
    return Array.from({ length: 20 }, choose);
  };
  t.same(sequence(4), sequence(4));
  t.notSame(sequence(4), sequence(5));
});

t.test('workloads: the shares are those of YCSB', async (t) => {
  const shares = {
    'ycsb-a': { get: 0.5, put: 0.5 },
    'ycsb-b': { get: 0.95, put: 0.05 },
    'ycsb-c': { get: 1 },
    'ycsb-d': { get: 0.95, insert: 0.05 },
    'ycsb-e': { scan: 0.95, insert: 0.05 },
    'ycsb-f': { get: 0.5, 'read-modify-write': 0.5 },
  } as const;
  for (const [name, mix] of Object.entries(shares)) {
    const workload = workloadOf(name as keyof typeof shares, undefined);
    const next = mixer(workload.mix, seededRandom(1));
    const counts = new Map<string, number>();
    for (let i = 0; i < DRAWS; i++) {
      const kind = next();
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    t.same([...counts.keys()].sort(), Object.keys(mix).sort(), name);
    for (const [kind, share] of Object.entries(mix))
      t.ok(share === 1 || isLikely(counts.get(kind) ?? 0, share), `${name}: ${kind}`);
  }
  t.same(workloadOf('mixed', 0.9).mix, { get: 0.9, put: 1 - 0.9 });
});

t.test('values: of the size asked for, different, and with their stamp', async (t) => {
  const values = new Values(seededRandom(1), 20);
  const [one, other] = [values.next(), values.next()];
  t.equal(one.length, 20);
  t.notSame(one, other);
  const stamped = values.stamped(1234.5678);
  t.equal(stamped.length, 20);
  t.equal(stampOf(stamped), 1234.5678);
  t.equal(new Values(seededRandom(1), 0).next().length, 0);
});
