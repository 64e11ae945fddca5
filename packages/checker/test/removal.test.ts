/**
 * That pieces are proofs: whatever is left out, a history that can be ordered can still be ordered without it. So what cannot be
 * after something was left out could not be before. Tried on histories that can be ordered, which is where a fault would show.
 */
import { test } from 'tap';
import { effectOf, withoutKeys, withoutUnnoticed } from '../src/group/group-minimize.js';
import { searchGroup } from '../src/group/group-search.js';
import { judge } from '../src/minimize.js';
import { partition } from '../src/partition.js';
import { withoutRemovable } from '../src/removal.js';
import { linearizableHistory, Random } from './support/random.js';
import { transactionalHistory } from './support/transactions.js';

const baseSeed = Number(process.env['KVD_CHECKER_SEED'] ?? 1);
const unlimited = { spend: () => true };

/** A stretch of places. */
function stretch(random: Random, length: number): [number, number] {
  const from = random.below(length);
  return [from, from + 1 + random.below(length - from)];
}

test('steps of one key that may go can go', (t) => {
  let removed = 0;
  for (let seed = baseSeed; seed < baseSeed + 3_000; seed++) {
    const random = new Random(seed);
    const { operations } = linearizableHistory(random, {
      operations: 4 + random.below(20),
      clients: 1 + random.below(5),
      keys: 1,
      values: random.below(4),
      unknownShare: random.pick([0, 0.2]),
      overlap: random.pick([0.1, 1, 5]),
      kinds: random.pick([
        ['get', 'put', 'cas', 'delete'],
        ['get', 'append', 'append', 'cas'],
        ['get', 'get', 'append', 'delete'],
      ]),
    });
    for (const [, steps] of partition({ operations }).registers) {
      const byStart = [...steps].sort((a, b) => a.start - b.start);
      const smaller = withoutRemovable(byStart, ...stretch(random, byStart.length));
      removed += byStart.length - smaller.length;
      if (judge(smaller, null, unlimited) !== 'yes') t.fail(`seed ${seed}`, { byStart, smaller });
    }
  }
  t.ok(removed > 3_000, `${removed} steps were removed`);
  t.end();
});

test('transitions, demands and keys of a group that may go can go', (t) => {
  let removed = 0;
  for (let seed = baseSeed; seed < baseSeed + 3_000; seed++) {
    const random = new Random(seed);
    const history = transactionalHistory(random, {
      operations: 4 + random.below(20),
      clients: 1 + random.below(5),
      keys: 1 + random.below(4),
      values: 1 + random.below(4),
      unknownShare: random.pick([0, 0.2]),
      overlap: random.pick([0.1, 1, 5]),
      txnShare: random.pick([0.2, 0.8]),
      toldShare: random.pick([0.3, 1]),
      versions: true,
    });
    for (const { keys, transitions } of partition(history).groups) {
      const byStart = [...transitions].sort((a, b) => a.start - b.start);
      const weaker = byStart.map((step) =>
        step.ways.length === 1 && random.chance(0.3) ? effectOf(step) : step,
      );
      const dropped = new Set(keys.map((_, place) => place).filter(() => random.chance(0.2)));
      const fewer = withoutKeys(weaker, dropped);
      if (fewer.length === 0) continue;
      const smaller = withoutUnnoticed(fewer, keys.length, ...stretch(random, fewer.length));
      removed += fewer.length - smaller.length;
      const { answer } = searchGroup(smaller, keys.length, null, unlimited, 1);
      if (answer !== 'yes') t.fail(`seed ${seed}: ${answer}`, { byStart, smaller });
    }
  }
  t.ok(removed > 3_000, `${removed} transitions were removed`);
  t.end();
});
