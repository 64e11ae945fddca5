/** Members in the simulator: what is drawn of them, and which disks may be lost when. */
import { test } from 'tap';
import { randomPlan } from '../src/generate.js';
import type { Fault, Plan } from '../src/plan.js';
import { planOf } from '../src/plan-of.js';
import { simulate } from '../src/simulate.js';

test('two seeds of five have spare machines; their witnesses are no quorum, their operator asks for everything', (t) => {
  const asked = new Set<string>();
  let withSpares = 0;
  for (let seed = 1; seed <= 500; seed++) {
    const { replicas, spares, witnesses, acceptQuorum, drift, faults } = randomPlan({ seed, replicas: null });
    if (spares > 0) withSpares += 1;
    if (replicas + spares > 9 || drift.length !== replicas + spares)
      t.fail(`seed ${seed}: too many machines`);
    if (acceptQuorum > replicas) t.fail(`seed ${seed}: an accept quorum of ${acceptQuorum}`);
    const founders = witnesses.filter((id) => id <= replicas).length;
    if (founders > Math.floor((replicas - 1) / 2)) t.fail(`seed ${seed}: ${founders} witnesses`);
    for (const fault of faults) asked.add(fault.kind === 'members' ? fault.ask.type : fault.kind);
  }
  t.ok(withSpares > 150 && withSpares < 250, `${withSpares} of 500`);
  for (const type of [
    'add',
    'replace',
    'remove',
    'demote',
    'promote',
    'accept-quorum',
    'move-leader',
    'readmit',
  ])
    t.ok(asked.has(type), type);
  t.ok(asked.has('join') && asked.has('return'));
  t.end();
});

/** Three replicas on a good network, and what goes wrong there. */
function quiet(...faults: readonly Fault[]): Plan {
  const plan = planOf(1, 3, 'leader-wiped');
  return { ...plan, scenario: 'random', faults };
}

const wipe = (replica: number, atMs: number): Fault => ({ kind: 'wipe', replica, downMs: 1, atMs });

/** When disks were lost, and whose. */
async function losses(plan: Plan): Promise<string[]> {
  const { trace, violation } = await simulate(plan, { trace: true });
  if (violation !== null) throw violation;
  return trace.flatMap((line) => {
    const match = /([\d.]+) ms {2}replica (\d) +its disk is damaged/.exec(line);
    return match === null ? [] : [`${match[2]} at ${Number(match[1]).toFixed(0)}`];
  });
}

test('of three disks one may be lost at a time, and the next one when its loss is made good', async (t) => {
  t.strictSame(
    await losses(quiet(wipe(1, 5000), wipe(2, 5010), wipe(1, 5020), wipe(2, 15_000), wipe(3, 22_000))),
    ['1 at 5000', '1 at 5020', '2 at 15000', '3 at 22000'],
  );
});

test('with an accept quorum of all or of one no disk may be lost', async (t) => {
  for (const acceptQuorum of [1, 3])
    t.strictSame(await losses({ ...quiet(wipe(1, 5000), wipe(2, 12_000)), acceptQuorum }), []);
});

test('where readmission is by hand the operator does it, and the disk counts as lost until then', async (t) => {
  const plan: Plan = { ...quiet(wipe(1, 5000), wipe(2, 5600), wipe(2, 15_000)), readmit: 'manual' };
  t.strictSame(await losses(plan), ['1 at 5000', '2 at 15000']);
});

test('while a voter is being removed the disks of the others are needed', async (t) => {
  const remove: Fault = { kind: 'members', ask: { type: 'remove', replica: 3 }, atMs: 5000 };
  t.strictSame(await losses(quiet(remove, wipe(1, 5001), wipe(1, 15_000), wipe(3, 15_000))), ['3 at 15000']);
});
