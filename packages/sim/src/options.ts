/** The command line of kvd-sim. Unknown options are errors. */
import { parseArgs } from 'node:util';
import { SCENARIOS, scenarioNamed } from './scenarios/index.js';
import type { Selection } from './plan.js';

export interface SimOptions {
  /** The first seed, and how many. */
  readonly seed: number;
  readonly seeds: number;
  readonly replicas: number | null;
  readonly scenario: string | null;
  readonly jobs: number;
  readonly trace: boolean;
  readonly shrink: boolean;
  readonly selection: Selection;
  readonly list: boolean;
  readonly help: boolean;
}

export class UsageError extends Error {}

export const USAGE = `Usage: kvd-sim --seed N [--trace] [--scenario NAME] [--replicas N] [--faults LIST] [--operations LIST]
       kvd-sim --seeds COUNT [--from N] [--jobs J] [--scenario NAME] [--replicas N]
       kvd-sim --list

Runs whole clusters on virtual clocks, networks and disks. A seed decides everything: the same seed gives the same run.

  --seed N          run this seed
  --trace           print what happened, who sent what, what was on disk, who crashed
  --seeds COUNT     run so many seeds, one after the other
  --from N          the first of them (default 1)
  --jobs J          in so many threads (default 1)
  --scenario NAME   one of the scenarios that --list names (default: a mixture drawn from the seed)
  --replicas N      1 to 9 (default: drawn from the seed)
  --faults LIST     of the seed's faults only these, as 0,3-5 or none
  --operations LIST of the seed's operations only these
  --no-shrink       do not look for a smaller run that fails too
  --list            name the scenarios
  --help            this text

Exit status: 0 nothing was wrong, 1 something unsafe happened, 2 bad usage, 6 nothing unsafe, but the cluster did not
come round in time.
`;

const REPLICAS_MAX = 9;
const JOBS_MAX = 64;
const SEED_MAX = Number.MAX_SAFE_INTEGER;

/** @throws UsageError */
export function parseOptions(args: readonly string[]): SimOptions {
  const values = parse(args);
  const scenario = values.scenario ?? null;
  if (scenario !== null && scenarioNamed(scenario) === undefined) {
    throw new UsageError(
      `there is no scenario "${scenario}"; there are ${SCENARIOS.map(({ name }) => name).join(', ')}`,
    );
  }
  if (values.seed !== undefined && values.seeds !== undefined)
    throw new UsageError('either --seed or --seeds');
  const help = values.help === true;
  const list = values.list === true;
  if (!help && !list && values.seed === undefined && values.seeds === undefined)
    throw new UsageError('--seed N or --seeds COUNT is needed');
  if (values.seeds !== undefined && (values.faults ?? values.operations ?? values.trace) !== undefined)
    throw new UsageError('--trace, --faults and --operations are for one seed');
  const single = values.seed !== undefined;
  return {
    seed: whole(single ? '--seed' : '--from', single ? values.seed : values.from, 0, SEED_MAX) ?? 1,
    seeds: whole('--seeds', values.seeds, 1, SEED_MAX) ?? 1,
    replicas: whole('--replicas', values.replicas, 1, REPLICAS_MAX),
    scenario,
    jobs: whole('--jobs', values.jobs, 1, JOBS_MAX) ?? 1,
    trace: values.trace === true,
    shrink: values['no-shrink'] !== true,
    selection: {
      faults: indices('--faults', values.faults),
      operations: indices('--operations', values.operations),
    },
    list,
    help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        from: { type: 'string' },
        replicas: { type: 'string' },
        scenario: { type: 'string' },
        jobs: { type: 'string' },
        trace: { type: 'boolean' },
        faults: { type: 'string' },
        operations: { type: 'string' },
        'no-shrink': { type: 'boolean' },
        list: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function whole(name: string, text: string | undefined, low: number, high: number): number | null {
  if (text === undefined) return null;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < low || number > high)
    throw new UsageError(`${name}: a whole number from ${low} to ${high} is expected, not "${text}"`);
  return number;
}

/** `0,3-5` or `none`. */
function indices(name: string, text: string | undefined): number[] | null {
  if (text === undefined) return null;
  if (text === 'none') return [];
  return text.split(',').flatMap((piece) => {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(piece);
    if (match === null) throw new UsageError(`${name}: a list like 0,3-5 is expected, not "${text}"`);
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first) throw new UsageError(`${name}: ${piece} goes backwards`);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** The other way round. */
export function formatIndices(list: readonly number[]): string {
  if (list.length === 0) return 'none';
  const pieces: string[] = [];
  for (let i = 0; i < list.length; ) {
    let end = i;
    while (end + 1 < list.length && list[end + 1] === (list[end] as number) + 1) end += 1;
    pieces.push(end === i ? `${list[i]}` : `${list[i]}-${list[end]}`);
    i = end + 1;
  }
  return pieces.join(',');
}
