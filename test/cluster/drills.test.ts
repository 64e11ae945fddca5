/**
 * A short run of every drill on real processes, as anybody runs them: `kvctl drill run all`. One run, a test for each
 * drill: what it inflicted, what its clients saw, and the verdict; then the report of all of them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { t as root, test } from 'tap';
import { kvctlBin, runProgram } from '../support/cluster.js';
import { testSeed } from '../support/random.js';

const LOAD_SECONDS = 2;
/** Run with five in drills-more.test.ts. */
const NOT_FOR_THREE = 'crash-two-of-five';
const NAMES = [
  'crash-acceptor',
  'crash-leader',
  NOT_FOR_THREE,
  'crash-all',
  'rolling-restart',
  'pause-leader',
  'partition-leader',
  'partition-halves',
  'one-way-link',
  'flapping-link',
  'slow-link',
  'slow-follower',
  'wipe-disk',
  'lose-disks',
  'flip-bits',
  'disk-full',
  'grow-and-shrink',
  'replace-all',
  'duelling-proposers',
  'chaos-25',
  'clock-jump',
  'watcher-moves',
  'lock-holder-paused',
];
/** What a drill promises beyond what all of them do. */
const OWN_CHECKS: Readonly<Record<string, readonly string[]>> = {
  'crash-leader': ['another one leads'],
  'rolling-restart': ['replicas stop in order'],
  'partition-leader': ['another one leads'],
  'wipe-disk': [
    'it knows that its disk is lost',
    'the wiped replica does not vote',
    'it serves reads',
    'who lost its disk is admitted again',
  ],
  'lose-disks': ['who lost its disk is admitted again'],
  'flip-bits': ['the damage was noticed', 'who lost its disk is admitted again'],
  'grow-and-shrink': ['who is removed stops'],
  'replace-all': ['who is removed stops'],
  'disk-full': ['it says that its disk is full', 'it came back by itself'],
  'chaos-25': ['every acceptor came back'],
  'clock-jump': ['the clock really jumped', 'no session ended early', 'no lease ends early, and each ends'],
  'watcher-moves': ['every watcher moved'],
  'lock-holder-paused': ['the paused holder is refused', 'only the holder of the lock writes'],
};

interface Line {
  readonly drill: string;
  readonly verdict: string;
  readonly reason?: string;
  readonly acknowledged: number;
  readonly operations: number;
  readonly bank: { readonly transfers: number; readonly audits: number };
  readonly counter: { readonly value: number };
  readonly watchers: { readonly list: readonly { readonly events: number }[] };
  readonly injected: readonly { readonly atMs: number; readonly what: string }[];
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

// All of them on a machine that has other things to do as well.
root.setTimeout(900_000);
const seed = testSeed();
const scratch = mkdtempSync(path.join(tmpdir(), 'kvd-drills-'));
root.teardown(() => rmSync(scratch, { recursive: true, force: true }));
const report = path.join(scratch, 'report.html');
const { code, stdout, stderr } = await runProgram(
  kvctlBin,
  [
    'drill',
    'run',
    'all',
    '--replicas',
    '3',
    '--duration',
    String(LOAD_SECONDS),
    '--seed',
    String(seed),
  ].concat(['-o', 'json', '--report', report]),
  { env: { TMPDIR: scratch } },
);
const lines = stdout
  .split('\n')
  .filter((text) => text !== '')
  .map((text) => JSON.parse(text) as Line);

for (const line of lines.filter(({ drill }) => drill !== NOT_FOR_THREE)) {
  test(line.drill, { skip: mayBeSkipped(line.drill) ? (line.reason ?? false) : false }, (t) => {
    t.comment(`KVD_TEST_SEED=${seed}`);
    t.match(
      line,
      {
        verdict: 'passed',
        replicas: 3,
        clients: 8,
        seed,
        linearizable: true,
        lost: 0,
        repeated: 0,
        revisionsWrong: 0,
        hashesEqual: true,
        stateHash: /^[0-9a-f]{16}$/,
        scratch: null,
        bank: { ok: true },
        counter: { ok: true, open: 0 },
        watchers: { ok: true },
        findings: [],
      },
      'it passed',
    );
    const { bank, counter, watchers } = line;
    t.ok(bank.transfers > 0 && bank.audits > 0, `${bank.transfers} transfers, ${bank.audits} audits`);
    t.ok(counter.value > 0, `${counter.value} additions`);
    t.equal(watchers.list.length, 4, 'a watcher for each replica, and the one of @kvd/client');
    t.ok(
      watchers.list.every(({ events }) => events > 0),
      'all saw something',
    );
    t.ok(line.acknowledged > 50, `${line.acknowledged} of ${line.operations} operations acknowledged`);
    t.ok(line.injected.length > 0, 'something was inflicted');
    const names = line.checks.map((check) => check.name);
    for (const name of OWN_CHECKS[line.drill] ?? []) t.ok(names.includes(name), `it checks: ${name}`);
    for (const { what } of line.injected) t.ok(stderr.includes(what), `told while it ran: ${what}`);
    t.end();
  });
}

test('all drills are run, and nothing but the report is left', (t) => {
  t.same(
    lines.map((line) => line.drill),
    NAMES,
  );
  t.match(
    lines.find(({ drill }) => drill === NOT_FOR_THREE),
    { verdict: 'skipped', reason: 'it needs at least 5 replicas' },
  );
  t.equal(code, 0, 'exit 0');
  if (code !== 0) t.comment(stderr);
  t.same(readdirSync(scratch), ['report.html'], 'the scratch directories are gone');
  t.end();
});

test('the report is one page that needs nothing else', (t) => {
  const page = readFileSync(report, 'utf8');
  for (const name of NAMES) t.ok(page.includes(`id="${name}">`), name);
  t.notMatch(
    page,
    /<script|<link|<img|@import|url\(|(?:src|href)="(?!#)/,
    'no script and nothing from elsewhere',
  );
  t.match(page, /nothing failed/);
  t.equal(page.split('aria-label="successes over time"').length - 1, lines.filter(isDone).length);
  t.end();
});

function isDone({ verdict }: Line): boolean {
  return verdict !== 'skipped';
}

/** Not for any reason: the machine has no small disks. */
function mayBeSkipped(name: string): boolean {
  return name === 'disk-full' && process.getuid?.() !== 0;
}
