/** The simulator's own tools: time, dice, lists that are shortened, the command line. */
import { test } from 'tap';
import { VirtualClock } from '../src/clock.js';
import { randomPlan } from '../src/generate.js';
import { Journal } from '../src/journal.js';
import { formatIndices, parseOptions } from '../src/options.js';
import { type Plan, select } from '../src/plan.js';
import { Progress } from '../src/progress.js';
import { Random } from '../src/random.js';
import { SCENARIOS, scenarioPlan } from '../src/scenarios/index.js';
import { shrink } from '../src/shrink.js';
import { safety } from '../src/violation.js';
import type { Outcome } from '../src/world.js';

test('events come in order of time, and of their making where times are equal', (t) => {
  const clock = new VirtualClock();
  const random = new Random(1, 'times');
  const seen: { at: number; order: number }[] = [];
  for (let order = 0; order < 500; order++) {
    const at = random.integer(0, 50);
    clock.at(at, () => seen.push({ at, order }));
  }
  while (clock.step(1000));
  t.equal(seen.length, 500);
  t.strictSame(
    seen,
    seen.toSorted((a, b) => a.at - b.at || a.order - b.order),
  );
  t.equal(clock.nowMs, 1000, 'time goes to the end when nothing is left');
  t.end();
});

test('what is made in an event comes after it, and nothing comes before its time', (t) => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  clock.after(5, () => {
    seen.push(`first at ${clock.nowMs}`);
    clock.at(1, () => seen.push(`late at ${clock.nowMs}`));
    clock.after(0, () => seen.push(`next at ${clock.nowMs}`));
  });
  clock.after(7, () => seen.push('after the end'));
  while (clock.step(6));
  t.strictSame(seen, ['first at 5', 'late at 5', 'next at 5']);
  t.end();
});

test('streams of one seed differ, and are the same each time', (t) => {
  const draw = (seed: number, name: string) => {
    const random = new Random(seed, name);
    return Array.from({ length: 20 }, () => random.integer(0, 999));
  };
  t.strictSame(draw(1, 'a'), draw(1, 'a'));
  t.notSame(draw(1, 'a'), draw(1, 'b'));
  t.notSame(draw(1, 'a'), draw(2, 'a'));
  t.notSame(draw(1, 'a'), draw(1 + 2 ** 32, 'a'), 'the upper half of a large seed counts');
  const random = new Random(5);
  const numbers = Array.from({ length: 10_000 }, random.next);
  t.ok(numbers.every((number) => number >= 0 && number < 1));
  t.ok(Math.abs(numbers.reduce((a, b) => a + b) / 10_000 - 0.5) < 0.02, 'their mean is a half');
  t.strictSame(
    new Random(3).sample([1, 2, 3], 5).toSorted((a, b) => a - b),
    [1, 2, 3],
    'a sample has nothing twice',
  );
  t.match(new Random(4).identifier(), /^[0-9a-f]{32}$/);
  t.end();
});

test('plans are the same each time, within their bounds, and draw everything there is', (t) => {
  const kinds = new Set<string>();
  const sizes = new Set<number>();
  for (let seed = 1; seed <= 300; seed++) {
    const plan = randomPlan({ seed, replicas: null });
    t.strictSame(randomPlan({ seed, replicas: null }), plan);
    sizes.add(plan.replicas);
    for (const { kind, atMs } of plan.faults) {
      kinds.add(kind);
      if (atMs > plan.calmMs) t.fail(`seed ${seed}: a fault after the calm`);
    }
  }
  t.strictSame(
    [...sizes].toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  t.equal(kinds.size, 20, [...kinds].join(' '));
  t.equal(randomPlan({ seed: 1, replicas: 6 }).replicas, 6);
  t.end();
});

test('a scenario keeps to the replicas it needs', (t) => {
  for (const scenario of SCENARIOS) {
    for (let seed = 1; seed <= 30; seed++) {
      const { replicas, faults, operations } = scenarioPlan(scenario, seed, null);
      if (replicas < scenario.replicasMin) t.fail(`${scenario.name} with ${replicas}`);
      if (scenario.name !== 'bad-network' && faults.length === 0) t.fail(`${scenario.name} without a fault`);
      if (operations.length === 0) t.fail(`${scenario.name} without operations`);
    }
  }
  t.end();
});

test('the journal tells runs apart by what happened, to whom, when and in what order', (t) => {
  const digest = (...marks: [number, number, number][]) => {
    const clock = new VirtualClock();
    const journal = new Journal(clock, false);
    for (const mark of marks) journal.mark(...mark);
    return journal.digest;
  };
  t.equal(digest([1, 2, 3], [1, 2, 4]), digest([1, 2, 3], [1, 2, 4]));
  const others = [
    digest([1, 2, 3], [1, 2, 4]),
    digest([1, 2, 4], [1, 2, 3]),
    digest([1, 2, 3]),
    digest([1, 2, 3], [1, 3, 4]),
    digest([1, 2, 3], [2, 2, 4]),
    digest(),
  ];
  t.equal(new Set(others).size, others.length);
  t.end();
});

/** An outcome of a made-up run. */
function outcomeOf(plan: Plan, fails: boolean): Outcome {
  return {
    plan,
    violation: fails ? safety('made-up', 'it fails') : null,
    atMs: 0,
    digest: '',
    events: 0,
    slots: 0,
    operations: { ok: 0, failed: 0, unknown: 0 },
    trace: [],
  };
}

test('a failing run is shrunk to the faults and operations that it needs', async (t) => {
  const plan: Plan = {
    ...randomPlan({ seed: 1, replicas: 3 }),
    faults: Array.from({ length: 20 }, (_, i) => ({ kind: 'campaign', replica: 1, atMs: i })),
    operations: Array.from({ length: 50 }, (_, i) => ({
      atMs: i,
      client: 0,
      kind: 'put',
      key: 0,
      span: 1,
      valueBytes: 0,
    })),
  };
  // Needs the faults 3 and 17 together, and operation 30.
  const run = (part: Plan) => {
    const needed = [3, 17].every((at) => part.faults.some(({ atMs }) => atMs === at));
    return Promise.resolve(outcomeOf(part, needed && part.operations.some(({ atMs }) => atMs === 30)));
  };
  const { selection, runs } = await shrink(plan, await run(plan), run, { runsMax: 1000 });
  t.strictSame(selection, { faults: [3, 17], operations: [30] });
  t.equal((await run(select(plan, selection))).violation?.rule, 'made-up');
  t.ok(runs < 200, `${runs} runs`);
  const limited = await shrink(plan, await run(plan), run, { runsMax: 5 });
  t.equal(limited.runs, 5, 'it gives up in time');
});

test('another failure is not mistaken for the one that is shrunk', async (t) => {
  const plan = randomPlan({ seed: 2, replicas: 3 });
  const run = (part: Plan) =>
    Promise.resolve({
      ...outcomeOf(part, true),
      violation: safety(part.operations.length > 5 ? 'first' : 'second', ''),
    });
  const { outcome, selection } = await shrink(plan, await run(plan), run, { runsMax: 500 });
  t.equal(outcome.violation?.rule, 'first');
  t.equal(selection.operations?.length, 6);
});

test('lists of faults and operations are read as they are written', (t) => {
  for (const list of [[], [0], [1, 2, 3], [0, 2, 3, 9], [5, 7]]) {
    const text = formatIndices(list);
    const { selection } = parseOptions(['--seed', '1', '--faults', text, '--operations', text]);
    t.strictSame(selection, { faults: list, operations: list }, text);
  }
  t.strictSame(parseOptions(['--seed', '1']).selection, { faults: null, operations: null });
  for (const text of ['', 'x', '1-', '-1', '1,,2', '1;2'])
    t.throws(() => parseOptions(['--seed', '1', '--faults', text]), /--faults/, text);
  t.end();
});

test('progress is a line now and then, and a bar on a terminal', (t) => {
  const lines: string[] = [];
  const plain = new Progress(2, { write: (text: string) => lines.push(text) });
  plain.add(null);
  plain.add('safety');
  plain.end();
  t.match(lines.join(''), /^2 of 2 seeds, [\d.]+ a second, 1 unsafe, 0 did not come round\n$/);
  t.end();
});
