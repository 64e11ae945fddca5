/**
 * A drill that cannot fail is worthless: with a bug planted in every kvd (by a preload of these tests, the product has no
 * flags for it), the verdict is red, the exit code 1, and the reason in the output and in the report.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { t as root, type Test, test } from 'tap';
import { kvctlBin, root as repository, runProgram } from '../support/cluster.js';
import { testSeed } from '../support/random.js';

interface Verdict {
  readonly verdict: string;
  readonly linearizable: boolean | null;
  readonly violations: readonly { readonly explanation: string; readonly operations: readonly object[] }[];
  readonly lost: number;
  readonly repeated: number;
  readonly revisionsWrong: number;
  readonly hashesEqual: boolean;
  readonly findings: readonly string[];
  readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
  readonly scratch: string | null;
  readonly bank: { readonly ok: boolean };
  readonly counter: { readonly ok: boolean };
  readonly watchers: { readonly ok: boolean };
}

// All of them on a machine that has other things to do as well.
root.setTimeout(900_000);

test('an answer before the sync: a power cut loses what was acknowledged', async (t) => {
  const { line, page } = await runPlanted(t, 'answer-before-sync', 'crash-all');
  t.ok(line.lost > 0, `${line.lost} acknowledged writes are lost`);
  t.ok(line.revisionsWrong > 0, 'and their revisions given to others');
  t.ok(page.includes('What else is wrong'), 'the report shows it');
});

test('a read without the round to a quorum: whoever is cut off or behind answers from what it has', async (t) => {
  const { line, page } = await runPlanted(t, 'read-without-round', 'partition-leader');
  t.equal(line.linearizable, false);
  const [violation] = line.violations;
  t.ok((violation?.operations.length ?? 0) >= 2, 'the counterexample is there');
  t.ok(page.includes('operations in no order'), 'and in the report');
  t.ok(page.includes('aria-label="operations over time"'), 'drawn');
  t.equal(line.repeated, 0);
  t.equal(line.hashesEqual, true, 'the states are right: only what was answered is wrong');
});

test('no memory of what was done: a write that is sent again is done again', async (t) => {
  // How many writes are on their way when a link breaks is chance: some four a second, on a machine that is idle.
  const { line } = await runPlanted(t, 'forget-sessions', 'flapping-link', 8);
  t.ok(line.repeated > 0, `${line.repeated} repeated: ${line.findings[0]}`);
  // What was written in between is then lost, if nothing is written after it: whether that happens is chance.
});

test('a replica that applies in a way of its own: the states differ', async (t) => {
  const { line } = await runPlanted(t, 'apply-local-choice', 'slow-follower');
  t.same(
    failed(line),
    ['all replicas hold the same'],
    'even where the replica noticed, and took the state of another',
  );
});

test('a transaction that is done in part: the bank has another total', async (t) => {
  const { line, page } = await runPlanted(t, 'txn-in-part', 'slow-follower');
  t.equal(line.bank.ok, false);
  // Of many findings only the first are listed: those of the scans, or of the history.
  t.ok(
    line.findings.some((text) =>
      /^bank: (a scan found|after revision \d+ the accounts hold) \d+.*, not 2000/.test(text),
    ),
  );
  t.equal(line.hashesEqual, true, 'all replicas do the same wrong');
  t.equal(line.linearizable, true, 'each key by itself is right');
  t.ok(page.includes('WRONG: not always 2,000 on 20 accounts'), 'the report says so');
});

test('a watch that forgets what happened at the change-over: its watcher missed it', async (t) => {
  const { line, page } = await runPlanted(t, 'watch-skips-change-over', 'watcher-moves');
  t.equal(line.watchers.ok, false);
  t.ok(line.findings.every((text) => /^watchers: .* it saw revision \d+ and missed \w+ /.test(text)));
  t.same([line.bank.ok, line.counter.ok], [true, true], 'nothing else is wrong');
  t.ok(page.includes('WRONG: not all of them saw what the history says'), 'the report says so');
});

test("cluster time by the leader's wall clock: a lease ends when that jumps", async (t) => {
  const { line } = await runPlanted(t, 'lease-by-wall-clock', 'clock-jump');
  t.ok(failed(line).includes('no lease ends early, and each ends'));
});

test('a lock without a fence: the cluster takes what its former holder sends', async (t) => {
  const { line } = await runPlanted(t, 'unfenced', 'lock-holder-paused');
  t.same(failed(line).sort(), ['only the holder of the lock writes', 'the paused holder is refused']);
});

test('a history that says something else than clients were told, and watchers that see the same', async (t) => {
  const { line } = await runPlanted(t, 'another-history', 'watcher-moves');
  t.ok(line.findings.some((text) => /^history: 'put drill\/.* the history has 'delete drill\//.test(text)));
  t.same([line.watchers.ok, line.bank.ok, line.counter.ok], [true, true, true], 'nothing else is wrong');
});

test('a drill in which nothing happens is none: links that do nothing, a bank that moves nothing', async (t) => {
  const links = await runPlanted(t, 'links-do-nothing', 'flapping-link', 1);
  t.same(failed(links.line), ['the links did as they were told']);
  const bank = await runPlanted(t, 'refuse-transactions', 'crash-acceptor', 1);
  t.same(failed(bank.line), ['there was something to lose']);
});

async function runPlanted(
  t: Test,
  plant: string,
  drill: string,
  seconds = 3,
): Promise<{ line: Verdict; page: string }> {
  const seed = testSeed();
  t.comment(`KVD_TEST_SEED=${seed}`);
  const dir = t.testdir();
  const report = path.join(dir, 'report.html');
  const preload = pathToFileURL(path.join(repository, 'test', 'support', 'plants', `${plant}.mjs`)).href;
  const args = [
    '--replicas',
    '3',
    '--duration',
    String(seconds),
    '--seed',
    String(seed),
    '--report',
    report,
    '-o',
    'json',
  ];
  const { code, stdout, stderr } = await runProgram(kvctlBin, ['drill', 'run', drill, ...args], {
    env: { NODE_OPTIONS: `--import=${preload}`, TMPDIR: dir },
  });
  t.equal(code, 1, 'exit 1');
  if (code !== 1) t.comment(stderr);
  const line = JSON.parse(stdout) as Verdict;
  t.equal(line.verdict, 'failed');
  t.ok(
    existsSync(path.join(line.scratch ?? '', 'history.jsonl')),
    'the history is kept for whoever wants to look',
  );
  const page = readFileSync(report, 'utf8');
  t.ok(page.includes('1 failed'), 'the report says so');
  return { line, page };
}

function failed({ checks }: Verdict): string[] {
  return checks.filter((check) => !check.ok).map((check) => check.name);
}
