/** kvd-sim: runs seeds, shows progress, shrinks and prints what fails. Results on stdout, everything else on stderr. */
import { runSeeds, type SeedResult } from './campaign.js';
import { formatIndices, parseOptions, type SimOptions, UsageError, USAGE } from './options.js';
import { EVERYTHING, type Plan, select } from './plan.js';
import { planOf } from './plan-of.js';
import { SCENARIOS } from './scenarios/index.js';
import { shrink } from './shrink.js';
import { simulate } from './simulate.js';
import { Progress } from './progress.js';
import type { Outcome } from './world.js';

/** Documented in docs/TESTING.md and --help. */
export const EXIT = { ok: 0, safety: 1, usage: 2, liveness: 6 } as const;

const SHRINK_RUNS_MAX = 400;
type Run = typeof simulate;

/** Of a long campaign, only the first failures are shrunk and told in full. */
const TOLD_MAX = 5;

/** `run`: how a plan is run; tests hand in a world with a bug. Returns the exit status. */
export async function main(args: readonly string[], run: Run = simulate): Promise<number> {
  let options: SimOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`kvd-sim: ${error.message}\n\n${USAGE}`);
    return EXIT.usage;
  }
  if (options.help) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  if (options.list) {
    for (const { name, title } of SCENARIOS) process.stdout.write(`${name.padEnd(24)} ${title}\n`);
    return EXIT.ok;
  }
  return options.seeds === 1 ? runOne(options, run) : runMany(options);
}

async function runOne(options: SimOptions, run: Run): Promise<number> {
  const { seed, replicas, scenario, selection, trace } = options;
  const whole = planOf(seed, replicas, scenario);
  const plan = select(whole, selection);
  const outcome = await run(plan, { trace });
  if (trace) {
    for (const line of outcome.trace) process.stdout.write(`${line}\n`);
    process.stdout.write('\n');
  }
  process.stdout.write(`${describeOutcome(outcome)}\n`);
  if (outcome.violation === null) return EXIT.ok;
  const wantsAll = selection.faults === EVERYTHING.faults && selection.operations === EVERYTHING.operations;
  if (options.shrink && wantsAll) await tellShrunk(options, whole, outcome, run);
  return outcome.violation.kind === 'safety' ? EXIT.safety : EXIT.liveness;
}

async function runMany(options: SimOptions): Promise<number> {
  const { seed: from, seeds: count, replicas, scenario, jobs } = options;
  const progress = new Progress(count, process.stderr);
  const failed: SeedResult[] = [];
  await runSeeds({ from, count, replicas, scenario }, jobs, (result) => {
    progress.add(result.violation?.kind ?? null);
    if (result.violation !== null) {
      failed.push(result);
      progress.clear();
      const { kind, rule, message } = result.violation;
      process.stdout.write(`seed ${result.seed}: ${kind}, ${rule}: ${message}\n`);
    }
    return true;
  });
  progress.end();
  failed.sort((a, b) => a.seed - b.seed);
  for (const { seed } of failed.slice(0, options.shrink ? TOLD_MAX : 0)) {
    const plan = planOf(seed, replicas, scenario);
    process.stdout.write('\n');
    await tellShrunk({ ...options, seed }, plan, await simulate(plan), simulate);
  }
  const unsafe = failed.filter(({ violation }) => violation?.kind === 'safety').length;
  process.stdout.write(
    `${count} seeds from ${from}: ${unsafe} unsafe, ${failed.length - unsafe} did not come round\n`,
  );
  if (unsafe > 0) return EXIT.safety;
  return failed.length > 0 ? EXIT.liveness : EXIT.ok;
}

/** A smaller run that fails in the same way, and the command that replays it. */
async function tellShrunk(options: SimOptions, plan: Plan, outcome: Outcome, run: Run): Promise<void> {
  process.stderr.write(`shrinking seed ${plan.seed} …\n`);
  const { selection, runs, outcome: small } = await shrink(plan, outcome, run, { runsMax: SHRINK_RUNS_MAX });
  const faults = selection.faults ?? [];
  const operations = selection.operations ?? [];
  const lines = [
    `seed ${plan.seed}, ${plan.replicas} replicas: ${faults.length} of ${plan.faults.length} faults and ` +
      `${operations.length} of ${plan.operations.length} operations are enough (${runs} runs)`,
    ...faults.map((i) => `  fault ${i}: ${JSON.stringify(plan.faults[i])}`),
    `  ${small.violation?.kind}, ${small.violation?.rule}: ${small.violation?.message}`,
    `replay: ${replayCommand(options, plan.seed)} --faults ${formatIndices(faults)} --operations ${formatIndices(operations)} --trace`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function replayCommand({ scenario, replicas }: SimOptions, seed: number): string {
  const words = ['bin/kvd-sim', '--seed', String(seed)];
  if (scenario !== null) words.push('--scenario', scenario);
  if (replicas !== null) words.push('--replicas', String(replicas));
  return words.join(' ');
}

function describeOutcome({ plan, violation, atMs, digest, events, slots, operations }: Outcome): string {
  const { ok, failed, unknown } = operations;
  const head =
    `seed ${plan.seed}, ${plan.replicas} replicas, ${(atMs / 1000).toFixed(1)} virtual seconds, ${events} events, ` +
    `${slots} slots, ${plan.faults.length} faults; operations: ${ok} answered, ${failed} not done, ${unknown} unknown; trace ${digest}`;
  if (violation === null) return `${head}\nnothing wrong`;
  const stack = violation.cause instanceof Error ? `\n${violation.cause.stack}` : '';
  return `${head}\n${violation.kind}, ${violation.rule}: ${violation.message}${stack}`;
}
