/** bin/kvd-sim as its users see it: what it prints, and its exit status. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Bug, EXIT, hunt, main, ONCE_REAL_BUGS, PLANTED_BUGS, plant } from '@kvd/sim';
import { type Test, test } from 'tap';

const SIM = fileURLToPath(new URL('../../bin/kvd-sim', import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function kvdSim(...args: string[]): Promise<Ended> {
  try {
    return {
      code: 0,
      ...(await promisify(execFile)(process.execPath, [SIM, ...args], { maxBuffer: 2 ** 28 })),
    };
  } catch (error) {
    return error as Ended;
  }
}

test('a seed that is well ends with 0 and says what happened', async (t) => {
  const { code, stdout } = await kvdSim('--seed', '3', '--replicas', '3');
  t.equal(code, EXIT.ok);
  t.match(stdout, /^seed 3, 3 replicas, [\d.]+ virtual seconds, \d+ events/);
  t.match(stdout, /nothing wrong/);
});

test('--trace tells who sent what, what was on disk and who crashed', async (t) => {
  const { code, stdout } = await kvdSim(
    '--seed',
    '2',
    '--scenario',
    'power-cut',
    '--replicas',
    '3',
    '--trace',
  );
  t.equal(code, EXIT.ok);
  t.match(stdout, /replica \d +sends to \d: accept \d+\.\d slot \d+/);
  t.match(stdout, /replica \d +write \d+ is on disk/);
  t.match(stdout, /replica \d +dies; of the writes under way \d+ reached the disk/);
  t.match(stdout, /replica \d +answers client \d/);
});

test('many seeds in two threads are counted', async (t) => {
  const { code, stdout, stderr } = await kvdSim('--seeds', '12', '--from', '500', '--jobs', '2');
  t.equal(code, EXIT.ok);
  t.match(stdout, /12 seeds from 500: 0 unsafe, 0 did not come round/);
  t.match(stderr, /12 of 12 seeds/);
});

test('bad usage ends with 2 and says what is wrong', async (t) => {
  for (const [args, message] of [
    [['--sed', '1'], /Unknown option '--sed'/],
    [['--seed', '1.5'], /--seed: a whole number from 0/],
    [['--seed', '1', '--replicas', '10'], /--replicas: a whole number from 1 to 9/],
    [['--seed', '1', '--scenario', 'nonsense'], /there is no scenario "nonsense"/],
    [['--seed', '1', '--seeds', '2'], /either --seed or --seeds/],
    [['--seeds', '2', '--trace'], /are for one seed/],
    [['--seed', '1', '--faults', '3-1'], /goes backwards/],
    [[], /--seed N or --seeds COUNT is needed/],
  ] as const) {
    const { code, stdout, stderr } = await kvdSim(...args);
    t.equal(code, EXIT.usage, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, message);
  }
});

test('--list names every scenario', async (t) => {
  const { code, stdout } = await kvdSim('--list');
  t.equal(code, EXIT.ok);
  t.match(stdout, /^kill-before-sync /m);
  t.match(stdout, /^role-kills /m);
});

/** main() in a world with a bug, on the seed that shows it; what it prints. */
async function withBug(t: Test, bug: Bug, seed: number, ...more: string[]): Promise<Ended> {
  const written: string[] = [];
  t.intercept(process.stdout, 'write', { value: (text: string) => written.push(text) > 0 });
  t.intercept(process.stderr, 'write', { value: () => true });
  const args = ['--seed', String(seed), '--replicas', String(bug.replicas), ...more];
  if (bug.scenario !== null) args.push('--scenario', bug.scenario);
  const code = await main(args, (plan, options) => plant(bug, plan, options));
  return { code, stdout: written.join(''), stderr: '' };
}

test('something unsafe ends with 1, shrunk, with the command that replays it', async (t) => {
  const bug = { ...named(PLANTED_BUGS, 'promise-hides-entries'), replicas: 3 };
  const { seed } = await hunt(bug, 500);
  const { code, stdout } = await withBug(t, bug, seed ?? 0);
  t.equal(code, EXIT.safety);
  t.match(stdout, /safety, agreement: /);
  const [, left, all] = /(\d+) of (\d+) operations are enough/.exec(stdout) ?? [];
  t.ok(Number(left) < Number(all), `${left} of ${all} operations are left`);
  t.match(
    stdout,
    new RegExp(`replay: bin/kvd-sim --seed ${seed} --replicas 3 --faults \\S+ --operations \\S+ --trace`),
  );
});

test('a cluster that does not come round ends with 6', async (t) => {
  const bug = named(ONCE_REAL_BUGS, 'never-its-own-disk');
  const { seed } = await hunt(bug, 500);
  const { code, stdout } = await withBug(t, bug, seed ?? 0, '--no-shrink');
  t.equal(code, EXIT.liveness);
  t.match(stdout, /liveness, /);
});

function named(bugs: readonly Bug[], name: string): Bug {
  const bug = bugs.find((one) => one.name === name);
  if (bug === undefined) throw new Error(`no bug is called ${name}`);
  return bug;
}
