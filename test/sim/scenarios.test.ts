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

/** What the workload has to come across, by a line of the trace. */
const REACHED: Readonly<Record<string, RegExp>> = {
  'a watcher is told': /tells watcher \d+ .*"type":"events"/,
  'a watcher is behind': /tells watcher \d+ .*"behind":true/,
  'a watcher is told that it is compacted': /tells watcher \d+ .*KVD_COMPACTED/,
  'a read is told that it is compacted': /answers client .*KVD_COMPACTED/,
  'a transaction takes its first branch': /"type":"txn".*"succeeded":true/,
  'a transaction takes its other branch': /"type":"txn".*"succeeded":false/,
  'a transaction cannot be done': /KVD_NOT_AN_INTEGER/,
  'a lease is due': /lease \d+ expired/,
  'a lease is gone': /KVD_LEASE_NOT_FOUND/,
  'an operation was applied': /"status":"applied"/,
  'an operation never will be': /"status":"never"/,
  'a late duplicate is fenced off': /KVD_FENCED/,
};

test('promises come in pages', async (t) => {
  let paged = 0;
  for (let seed = 1; seed <= 100 && paged === 0; seed++) {
    const plan = planOf(seed, null, null);
    if (plan.promiseEntries > 8) continue;
    const { trace } = await simulate(plan, { trace: true });
    paged += trace.filter((line) => / receives from .*promise .*more after slot/.test(line)).length;
  }
  t.ok(paged > 0, `${paged} promises had more than one page`);
});

/** What the operator and the cluster have to come across between them, by a line of the trace. */
const CHANGED: Readonly<Record<string, RegExp>> = {
  'somebody joins': /members-change .*as a learner/,
  'and is promoted': /members-change .*make replica \d a voter/,
  'to a witness': /members-change .*make replica \d a witness/,
  'somebody is removed': /members-change .*"remove replica/,
  'somebody is made a learner': /members-change .*make replica \d a learner/,
  'who lost its disk is admitted again': /members-change .*admit replica \d again/,
  'the accept quorum changes': /members-change .*accept quorum/,
  'a change would leave no quorum': /KVD_MEMBERS_REFUSED.*would leave no quorum/,
  'who was removed stops': /exits: it was removed/,
  'and is not started again': /cannot start: .*removed/,
  'a witness skips': /snapshot-installed .*"stateHash":""/,
  'somebody is admitted again by hand': /operator .*wants .*readmit/,
};

test('changes of the members come across all that they are about', async (t) => {
  const missing = new Set(Object.keys(CHANGED));
  for (let seed = 601; seed <= 1_200 && missing.size > 0; seed++) {
    const plan = planOf(seed, null, null);
    if (plan.spares === 0) continue;
    const { trace } = await simulate(plan, { trace: true });
    for (const what of missing)
      if (trace.some((line) => (CHANGED[what] as RegExp).test(line))) missing.delete(what);
  }
  t.strictSame([...missing], []);
});

test('the workload of the data model comes across all that it is about', async (t) => {
  const missing = new Set(Object.keys(REACHED));
  for (let seed = 1; seed <= 20 && missing.size > 0; seed++) {
    const { trace } = await simulate(planOf(seed, 3, 'data-model'), { trace: true });
    for (const what of missing)
      if (trace.some((line) => (REACHED[what] as RegExp).test(line))) missing.delete(what);
  }
  t.strictSame([...missing], []);
});
