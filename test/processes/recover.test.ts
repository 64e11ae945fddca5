/**
 * A majority of a real cluster is lost under load: `kvctl recover` on what is left. The clients noted every write that was
 * acknowledged; whatever of it is missing in the new cluster has to be where the plan said that something may be.
 */
import { connect, type KvdClient, KvdError } from '@kvd/client';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import {
  freePorts,
  kvctlBin,
  kvdBin,
  root,
  runProgram,
  startCluster,
  TestCluster,
} from '../support/cluster.js';
import { pick, seededRandom, testSeed } from '../support/random.js';
import { letRun } from '../support/writers.js';

const ROUNDS = 2;
const WRITERS = 6;
/** Acknowledged while the survivors-to-be are cut off, but for what was on its way to them. */
const WRITES_WITHOUT_SURVIVORS = 40;

interface Plan {
  readonly nothingLost: boolean;
  readonly knownThrough: number;
  readonly safeThroughRevision: number;
  readonly mayBeMissing: { readonly firstSlot: number; readonly lastSlot: number | null } | null;
  readonly outOfReach: unknown;
  readonly lost: number;
  readonly quorum: number;
  readonly directories: readonly {
    readonly replica: number;
    readonly chosenThrough: number;
    readonly logDamage: string | null;
  }[];
  readonly slots: readonly {
    readonly kept: boolean;
    readonly commands: readonly { readonly keys: readonly { readonly key?: string }[] }[];
  }[];
  readonly recovered: { readonly revision: number; readonly slot: number; readonly contentHash: string };
}

/** Clients that put keys of their own, each once, and note what became of it. */
class NotingWriters {
  /** By key: the revision that acknowledged it. */
  readonly acknowledged = new Map<string, number>();
  /** Of those nobody knows. */
  readonly unknown = new Set<string>();
  private stopping = false;
  private readonly clients: KvdClient[] = [];
  private readonly loops: readonly Promise<void>[];

  constructor(private readonly endpoints: readonly string[]) {
    this.loops = Array.from({ length: WRITERS }, (_, writer) => this.write(writer));
  }

  /** Ends what is under way too: nobody is there any more to answer it. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.clients.map((kv) => kv.close()));
    await Promise.all(this.loops);
  }

  private async write(writer: number): Promise<void> {
    const kv = await connect({ endpoints: this.endpoints, timeoutMs: 20_000 });
    this.clients.push(kv);
    for (let n = 0; !this.stopping; n++) await this.put(kv, `w${writer}/${n}`);
  }

  private async put(kv: KvdClient, key: string): Promise<void> {
    this.unknown.add(key);
    try {
      const { revision } = await kv.put(key, valueOf(key));
      this.acknowledged.set(key, revision);
      this.unknown.delete(key);
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      if (error.outcome === 'not-done') this.unknown.delete(key);
    }
  }
}

const valueOf = (key: string): string => `value of ${key}`;

test('three of five lose their disks under load, again and again', { timeout: 600_000 }, async (t) => {
  const seed = testSeed();
  t.comment(`KVD_TEST_SEED=${seed}`);
  const random = seededRandom(seed);
  for (let round = 1; round <= ROUNDS; round++) {
    // In every other round the survivors are cut off for a while before, so that acknowledged writes are really lost.
    await loseMajority(t, random, round, round % 2 === 0);
  }
});

async function loseMajority(t: Test, random: () => number, round: number, isCutOff: boolean): Promise<void> {
  const cluster = await startCluster({ replicas: 5 });
  t.teardown(() => cluster.close());
  const survivors = pick(random, cluster.ids, 2).sort((a, b) => a - b);
  const writers = new NotingWriters(cluster.endpoints);
  await cluster.waitFor('writes', () => (writers.acknowledged.size > 200 ? true : undefined));
  await letRun(random() * 500);
  if (isCutOff) {
    for (const id of survivors) cluster.pause(id);
    const before = writers.acknowledged.size;
    await cluster.waitFor('writes without the survivors', () =>
      writers.acknowledged.size > before + WRITES_WITHOUT_SURVIVORS ? true : undefined,
    );
  }
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  await writers.stop();
  for (const id of cluster.ids) if (!survivors.includes(id)) cluster.wipe(id);

  const directories = survivors.map((id) => cluster.dataDir(id));
  const before = directories.map(fingerprint);
  const { code, plan } = await planOf(directories);
  t.equal(code, 1, 'something acknowledged may be lost');
  t.match(plan, { nothingLost: false, quorum: 3, lost: 3, outOfReach: null });
  t.equal(plan.mayBeMissing?.lastSlot, null, 'three can go on without the other two for ever');

  const recovered = new TestCluster(await freePorts(3), { replicas: 3 });
  t.teardown(() => recovered.close());
  const refused = await applyTo(recovered, directories);
  t.equal(refused.code, 4, 'not without a word that this is accepted');
  t.match(refused.stderr, '--accept-loss');
  t.same(readdirSync(recovered.dir), [], 'and nothing was written');
  const applied = await applyTo(recovered, directories, ['--accept-loss']);
  t.equal(applied.code, 0, applied.stderr);
  t.match(JSON.parse(applied.stdout), { contentHash: plan.recovered.contentHash });
  t.same(directories.map(fingerprint), before, 'no byte and no time of the originals changed');

  const missing = await missingIn(t, recovered, writers);
  const outside = missing.filter((key) => (writers.acknowledged.get(key) ?? 0) <= plan.safeThroughRevision);
  t.same(outside, [], 'what is missing is where the plan said that something may be');
  const kept = new Set(keysOf(plan, true));
  t.same(
    missing.filter((key) => kept.has(key)),
    [],
    'what the plan said is kept is there',
  );
  const atRisk = [...writers.acknowledged.values()].filter((revision) => revision > plan.safeThroughRevision);
  if (isCutOff) t.ok(missing.length > 0, 'acknowledged writes were really lost');
  t.comment(
    `round ${round}${isCutOff ? ', survivors cut off before' : ''}: ${writers.acknowledged.size} acknowledged, ` +
      `${atRisk.length} above revision ${plan.safeThroughRevision} which the plan warned of, ${missing.length} missing; ` +
      `${plan.slots.length} slots unproven, ${keysOf(plan, true).length} writes kept in them`,
  );
  await recovered.close();
  await cluster.close();
}

test('two of five lose their disks under load: nothing is lost, and that is what the plan says', async (t) => {
  const seed = testSeed();
  t.comment(`KVD_TEST_SEED=${seed}`);
  const random = seededRandom(seed);
  const cluster = await startCluster({ replicas: 5 });
  t.teardown(() => cluster.close());
  const writers = new NotingWriters(cluster.endpoints);
  await cluster.waitFor('writes', () => (writers.acknowledged.size > 300 ? true : undefined));
  // One of those that are left is behind.
  const survivors = pick(random, cluster.ids, 3);
  cluster.pause(survivors[0] as number);
  const before = writers.acknowledged.size;
  await cluster.waitFor('writes without it', () =>
    writers.acknowledged.size > before + WRITES_WITHOUT_SURVIVORS ? true : undefined,
  );
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  await writers.stop();
  for (const id of cluster.ids) if (!survivors.includes(id)) cluster.wipe(id);
  const directories = survivors.map((id) => cluster.dataDir(id));

  const { code, plan } = await planOf(directories);
  t.equal(code, 0);
  t.match(plan, { nothingLost: true, quorum: 3, lost: 2, mayBeMissing: null, outOfReach: null });
  const recovered = new TestCluster(await freePorts(3), { replicas: 3 });
  t.teardown(() => recovered.close());
  const applied = await applyTo(recovered, directories);
  t.equal(applied.code, 0, applied.stderr);
  t.same(await missingIn(t, recovered, writers), []);
  t.comment(`${writers.acknowledged.size} acknowledged, none missing; ${plan.slots.length} slots unproven`);

  const people = await runProgram(kvctlBin, ['recover', 'plan', ...directories]);
  t.equal(people.code, 0, people.stderr);
  t.match(people.stdout, 'Nothing that was acknowledged can be lost.');
});

test('a survivor that runs is refused, and goes on', async (t) => {
  const cluster = await startCluster({ replicas: 1 });
  t.teardown(() => cluster.close());
  const plan = await runProgram(kvctlBin, ['recover', 'plan', cluster.dataDir(1)]);
  t.equal(plan.code, 4);
  t.match(plan.stderr, 'KVCTL_RECOVER_LOCKED');
  const kv = await connect({ endpoints: cluster.endpoints });
  t.match(await kv.put('a', '1'), { revision: 1 });
  await kv.close();
  await cluster.kill(1);
  t.equal((await planOf([cluster.dataDir(1)])).code, 0, 'one of one is all there is');
});

test('the page of the manual, as it is written', async (t) => {
  const manual = readFileSync(path.join(root, 'docs', 'OPERATIONS.md'), 'utf8');
  const page = /^## Two of three are gone$[^]*?(?=^## )/m.exec(manual)?.[0] ?? '';
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints });
  await kv.put('a', '1');
  await kv.close();
  await cluster.waitSameState();
  await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
  for (const id of [2, 3]) cluster.wipe(id);

  const typed = [...page.matchAll(/^bin\/(kvctl|kvd) (.*)$/gm)].map(([, program = '', words = '']) => ({
    program,
    words: words
      .replaceAll('/var/lib/kvd-new', path.join(cluster.dir, 'new'))
      .replaceAll('/var/lib/kvd', cluster.dataDir(1))
      .replaceAll(/10\.0\.0\.(\d):15000/g, (_, id: string) => cluster.address(Number(id)))
      .split(' '),
  }));
  t.same(
    typed.map(({ program, words }) => `${program} ${words.slice(0, 2).join(' ')}`),
    [
      'kvctl recover plan',
      'kvctl recover apply',
      'kvd --id 1',
      'kvd --id 2',
      'kvd --id 3',
      `kvctl -e ${cluster.address(1)}`,
    ],
  );
  const results: string[] = [];
  for (const { program, words } of typed) {
    if (program === 'kvd') {
      const child = spawn(process.execPath, [kvdBin, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
      t.teardown(() => child.kill('SIGKILL'));
      await once(child.stdout, 'data');
      continue;
    }
    if (words.includes('status'))
      await cluster.waitFor('a leader', async () => leaderOf(await cluster.statuses()));
    const { code, stdout } = await runProgram(kvctlBin, words);
    results.push(`${code} ${stdout}`);
  }
  const [plan = '', apply = '', status = ''] = results;
  t.match(plan, /^1 [^]*MAY BE LOST[^]*Every acknowledged write up to revision 1 is kept/);
  t.match(apply, /^0 new cluster [0-9a-f]{32}: 1 keys, revision 1000000001/);
  t.match(status, /^0 [^]*leader/);
  const again = await connect({ endpoints: cluster.endpoints });
  t.equal((await again.get('a'))?.text(), '1');
  await again.close();
});

function leaderOf(statuses: readonly { readonly role: string }[]): true | undefined {
  return statuses.some(({ role }) => role === 'leader') ? true : undefined;
}

async function planOf(directories: readonly string[]): Promise<{ code: number | null; plan: Plan }> {
  const { code, stdout, stderr } = await runProgram(kvctlBin, [
    'recover',
    'plan',
    '-o',
    'json',
    ...directories,
  ]);
  if (stdout === '') throw new Error(`no plan: ${stderr}`);
  return { code, plan: JSON.parse(stdout) as Plan };
}

function applyTo(
  cluster: TestCluster,
  directories: readonly string[],
  flags: readonly string[] = [],
): ReturnType<typeof runProgram> {
  const peers = cluster.ids.map((id) => `${id}=${cluster.address(id)}`).join(',');
  const args = ['--data', cluster.dir, '--peers', peers, ...flags, '-o', 'json', ...directories];
  return runProgram(kvctlBin, ['recover', 'apply', ...args]);
}

/** Starts the new cluster and reads everything back: what was acknowledged and is not there. */
async function missingIn(t: Test, cluster: TestCluster, writers: NotingWriters): Promise<string[]> {
  await Promise.all(cluster.ids.map((id) => cluster.start(id)));
  await cluster.waitReady();
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  const there = new Map<string, string>();
  for await (const entry of kv.scan({ prefix: 'w' })) there.set(String(entry.key), entry.text());
  const invented = [...there].filter(
    ([key, value]) => value !== valueOf(key) || (!writers.acknowledged.has(key) && !writers.unknown.has(key)),
  );
  t.same(invented, [], 'nothing is there that nobody wrote');
  const { revision } = await kv.put('after', 'the recovery');
  t.ok(revision > 1_000_000_000, 'revisions go on far above the old ones');
  await kv.close();
  t.match(await cluster.waitSameState(), /^[0-9a-f]{16}$/);
  return [...writers.acknowledged.keys()].filter((key) => !there.has(key));
}

function keysOf(plan: Plan, kept: boolean): string[] {
  return plan.slots
    .filter((slot) => slot.kept === kept)
    .flatMap(({ commands }) => commands.flatMap(({ keys }) => keys.map(({ key = '' }) => key)));
}

/** Of all names, bytes and times of change below. */
function fingerprint(directory: string): string {
  const hash = createHash('sha256');
  const visit = (place: string): void => {
    const stats = statSync(place);
    hash.update(`${place} ${stats.mtimeMs} ${stats.ctimeMs} ${stats.size}\n`);
    if (stats.isDirectory()) for (const name of readdirSync(place).sort()) visit(path.join(place, name));
    else hash.update(readFileSync(place));
  };
  visit(directory);
  return hash.digest('hex');
}
