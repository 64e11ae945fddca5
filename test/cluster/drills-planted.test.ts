/**
 * A drill that cannot fail is worthless: with a bug planted in every kvd (by a preload of these tests, the product has no
 * flags for it), the verdict is red, the exit code 1, and the reason in the output and in the report.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Test, test } from 'tap';
import { kvctlBin, root, runProgram } from '../support/cluster.js';
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
}

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
  const { line } = await runPlanted(t, 'forget-sessions', 'flapping-link');
  t.ok(line.repeated > 0, `${line.repeated} repeated: ${line.findings[0]}`);
  t.equal(line.lost, 0);
});

test('a replica that applies in a way of its own: the states differ', async (t) => {
  const { line } = await runPlanted(t, 'apply-local-choice', 'slow-follower');
  t.same(
    failed(line),
    ['all replicas hold the same'],
    'even where the replica noticed, and took the state of another',
  );
});

async function runPlanted(t: Test, plant: string, drill: string): Promise<{ line: Verdict; page: string }> {
  const seed = testSeed();
  t.comment(`KVD_TEST_SEED=${seed}`);
  const dir = t.testdir();
  const report = path.join(dir, 'report.html');
  const preload = pathToFileURL(path.join(root, 'test', 'support', 'plants', `${plant}.mjs`)).href;
  const args = [
    '--replicas',
    '3',
    '--duration',
    '3',
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
