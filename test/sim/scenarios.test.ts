/** Every row of DESIGN.md, section 9, as a scenario of its own: ten seeds each. */
import { planOf, SCENARIOS, simulate } from '@kvd/sim';
import { test } from 'tap';

const SEEDS = 10;

for (const { name, title } of SCENARIOS) {
  test(`${name}: ${title}`, async (t) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation, operations } = await simulate(planOf(seed, null, name));
      t.equal(violation, null, `bin/kvd-sim --scenario ${name} --seed ${seed}`);
      t.ok(operations.ok > 20, 'the clients got something done');
    }
  });
}

test('sessions do expire in the scenario that is about it', async (t) => {
  let expired = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { trace } = await simulate(planOf(seed, 3, 'expired-session'), { trace: true });
    expired += trace.filter((line) => line.includes('KVD_SESSION_EXPIRED')).length;
  }
  t.ok(expired > 0, `${expired} answers said so`);
});
