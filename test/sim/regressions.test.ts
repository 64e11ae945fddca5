/**
 * The regression list: bugs that the product had until the simulator found them. Each is put back in, and has to be found
 * again; and the seeds that found them run without a violation now. (Seeds draw other plans whenever the simulator grows,
 * so it is the bug that keeps the seed's place.)
 */
import { ONCE_REAL_BUGS, planOf, simulate } from '@kvd/sim';
import t from 'tap';
import { mustBeFound } from './support/hunt.js';

t.setTimeout(900_000);

/** Seed, replicas and scenario, as they were found. */
const SEEDS: readonly (readonly [number, number | null, string | null])[] = [
  [184, null, null],
  [1133, 3, null],
  [10218, null, null],
  [20028, null, null],
  [20462, null, null],
  [44, 3, null],
  [100683, null, null],
  [9, null, 'disk-full'],
  [107669, null, null],
  [207457, null, null],
  [213067, null, null],
  [514023, null, null],
  [520197, null, null],
  [520921, null, null],
  [526079, null, null],
  [529220, null, null],
  [533063, null, null],
  [548634, null, null],
  [574995, null, null],
  [592408, null, null],
  [599788, null, null],
  [708281, null, null],
  [161, null, null],
  [2000740, null, null],
  [2001771, null, null],
  [3007111, null, null],
  [3007566, null, null],
  [5003596, null, null],
  [5006111, null, null],
  [5006815, null, null],
  [1689033469, null, null],
  [2104968186, null, null],
  [2339356502, null, null],
  [7201087, null, null],
  [54184803, null, null],
  [54185831, null, null],
  [300006893, null, null],
  [300008710, null, null],
  [3818997767, null, null],
  [1512580446, null, null],
  [810000327, null, null],
  [197368476, null, null],
  [1016283861, null, null],
  [64, 3, 'joiner-crashes'],
  [6, null, 'witness-joins'],
  [4, null, 'members-come-and-go'],
  [6, null, 'members-come-and-go'],
  [42, 3, 'members-come-and-go'],
  [1, null, 'leaders-take-turns'],
  [2, null, 'leaders-take-turns'],
];

t.test('the seeds that once found something find nothing any more', async (t) => {
  for (const [seed, replicas, scenario] of SEEDS) {
    const { violation } = await simulate(planOf(seed, replicas, scenario));
    t.equal(violation, null, `seed ${seed}`);
  }
});

for (const bug of ONCE_REAL_BUGS) mustBeFound(t, bug);
