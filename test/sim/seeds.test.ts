/**
 * Fresh seeds with every commit: the first one follows from the commit's hash, so that what is tried is new each time and
 * can be repeated. KVD_SIM_FROM and KVD_SIM_SEEDS say otherwise.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Parts, planOf, runSeeds, simulate } from '@kvd/sim';
import { test } from 'tap';
import { say } from './support/say.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SEEDS = Number(process.env['KVD_SIM_SEEDS'] ?? 1000);

/** Below 2^32, far from the seeds that people type. Without a repository (an image, an archive): always the same. */
function firstSeed(): number {
  const given = process.env['KVD_SIM_FROM'];
  if (given !== undefined) return Number(given);
  try {
    const hash = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
    return Number.parseInt(hash.slice(0, 8), 16);
  } catch {
    return 1_000_000;
  }
}

test('a thousand fresh seeds find nothing', async (t) => {
  const from = firstSeed();
  const began = process.cpuUsage();
  const found: string[] = [];
  await runSeeds({ from, count: SEEDS, replicas: null, scenario: null }, 1, ({ seed, violation }) => {
    if (violation !== null) found.push(`bin/kvd-sim --seed ${seed}: ${violation.rule}: ${violation.message}`);
    return true;
  });
  const { user, system } = process.cpuUsage(began);
  const seconds = (user + system) / 1e6;
  say(`seeds ${from} to ${from + SEEDS - 1}: ${(SEEDS / seconds).toFixed(1)} a second of processor time`);
  t.strictSame(found, []);
});

test('the same seed gives the same run, event by event', async (t) => {
  for (const [seed, scenario] of [
    [7, null],
    [47, null],
    [1133, null],
    [3, 'far-behind'],
    [5, 'wiped-directory'],
    [2, 'members-come-and-go'],
    [3, 'witness-joins'],
  ] as const) {
    const plan = planOf(seed, null, scenario);
    const first = await simulate(plan);
    const second = await simulate(planOf(seed, null, scenario), { trace: true });
    t.equal(second.digest, first.digest, `seed ${seed}: the trace's hash`);
    t.equal(second.events, first.events);
    t.ok(second.trace.length > 100, 'with or without a readable account');
    const other = await simulate(planOf(seed + 1, null, scenario));
    t.not(other.digest, first.digest, 'another seed, another run');
  }
});

test('every run of three replicas lasts for thirty virtual seconds', async (t) => {
  const seeds = 100;
  const began = process.cpuUsage();
  for (let seed = 1; seed <= seeds; seed++) {
    const { atMs } = await simulate(planOf(seed, 3, null));
    t.ok(atMs >= 30_000, `seed ${seed} ended after ${atMs} ms`);
  }
  const { user, system } = process.cpuUsage(began);
  const rate = seeds / ((user + system) / 1e6);
  say(`three replicas, thirty virtual seconds: ${rate.toFixed(1)} seeds a second of processor time`);
});

test('a run that goes round in a circle is ended', async (t) => {
  const circle: Parts = {
    replica: (_, owner) => {
      const again = (): void => owner.after(0, again);
      again();
    },
  };
  const { violation } = await simulate(planOf(1, 1, null), { parts: circle });
  t.match(violation, { kind: 'liveness', rule: 'busy' });
});
