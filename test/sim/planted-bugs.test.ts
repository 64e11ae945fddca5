/**
 * Can the simulator fail? Bugs are planted one at a time, by putting other code in the place of a part of the product,
 * and each has to be found within two thousand seeds. The comments say after how many it was, and how long that took.
 */
import { PLANTED_BUGS } from '@kvd/sim';
import t from 'tap';
import { mustBeFound } from './support/hunt.js';

t.setTimeout(900_000);

t.test('there are enough of them', async (t) => {
  t.ok(PLANTED_BUGS.length >= 15);
});

for (const bug of PLANTED_BUGS) mustBeFound(t, bug);
