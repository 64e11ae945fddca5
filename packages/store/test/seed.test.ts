/** New clusters made of a state: what their directories hold, what they refuse, and what is left of an interrupted one. */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Done, SnapshotReader } from '@kvd/replica';
import {
  type BackupError,
  createMemoryState,
  type KvState,
  openDirectory,
  type OpenedDirectory,
  type SeedRequest,
  seedDirectories,
} from '../src/index.js';
import { call, flush, kept, keyed, put, readSnapshot, run, scanAll, scratch, text } from './helpers.js';

const CLUSTER = 'cd'.repeat(16);
const STEP = 1_000_000;
const MEMBERS = [3, 1, 2].map((replicaId) => ({
  replicaId,
  address: `127.0.0.1:${replicaId}`,
  role: 'voter' as const,
}));

/** Some values lie apart. */
const OPTIONS = { cacheBytes: 1024 * 1024, apartBytes: 8, spanRevisions: 8, versions: 'spans' } as const;

/** Keys with a history, a session, an idempotency key, a lease with a key of its own. */
async function lived(): Promise<KvState> {
  const state = createMemoryState(undefined, OPTIONS);
  await run(state, [{ type: 'open-session' }], 1000);
  for (let sequence = 1; sequence <= 60; sequence += 1) {
    const origin = { session: 65_536, sequence, lowestUnanswered: 1 };
    await run(state, [put(`key ${sequence % 20}`, `value ${sequence}`, origin)]);
  }
  await run(state, [keyed('order', put('ordered', 'yes'))], 2000);
  const origin = { session: 0, sequence: 0, lowestUnanswered: 0 };
  await run(state, [{ type: 'lease-grant', origin, ttlMs: 30_000 }]);
  await flush(state);
  return state;
}

async function requestOf(state: KvState, more: Partial<SeedRequest> = {}): Promise<SeedRequest> {
  const snapshot = await call<SnapshotReader>((done) => state.openFlushed('present', done));
  return {
    clusterId: CLUSTER,
    members: MEMBERS,
    slot: 10_000,
    snapshot,
    revisionStep: STEP,
    alpha: 16,
    acceptQuorum: 0,
    ...more,
  };
}

async function opened(t: Test, root: string, replicaId: number): Promise<OpenedDirectory> {
  const directory = await openDirectory(join(root, `replica-${replicaId}`), { replicaId, founding: null });
  t.teardown(() => directory.close());
  return directory;
}

test('every member gets a directory that names all, with the same state, above the old slot and revision', async (t) => {
  const state = await lived();
  const root = join(scratch(t), 'a', 'b');
  const seeded = await seedDirectories(root, await requestOf(state));
  t.same(readdirSync(root).sort(), ['replica-1', 'replica-2', 'replica-3']);
  t.equal(seeded.contentHash, state.contentHash, 'the contents are those of the snapshot');
  t.match(seeded, { revision: 61 + STEP, compactRevision: 61 + STEP, keys: 21, slot: 10_000 });
  for (const { replicaId, incarnation } of seeded.directories) {
    const {
      log,
      state: copy,
      setAside,
      identity,
      clusterId,
      foundingList,
      mayFound,
    } = await opened(t, root, replicaId);
    t.same(setAside, []);
    t.same(identity, { replicaId, incarnation });
    t.equal(clusterId, CLUSTER);
    t.equal(foundingList, '1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3');
    t.equal(mayFound, false);
    t.match(log.recovered, { chosenThrough: 10_000, cutThrough: 10_000, accepted: [] });
    const [first] = log.recovered.configurations;
    t.match(first, { slot: 10_000, configuration: { clusterId: CLUSTER, alpha: 16, replaces: 0 } });
    t.same(
      first?.configuration.members.map((member) => member.incarnation),
      seeded.directories.map((each) => each.incarnation),
    );
    t.same(copy.configurations, log.recovered.configurations);
    t.match(copy, { appliedThrough: 10_000, durableThrough: 10_000, contentHash: seeded.contentHash });
    t.equal(copy.stateHash, seeded.stateHash);
    await call<void>((done) => kept(copy).scrub(done));
    const entries = (await scanAll(copy)).map(({ key, value }) => [text(key), text(value)]);
    t.same(
      entries,
      (await scanAll(state)).map(({ key, value }) => [text(key), text(value)]),
    );
  }
});

test('sessions, idempotency keys and leases go on where they were; the past cannot be read', async (t) => {
  const state = await lived();
  const root = scratch(t);
  const seeded = await seedDirectories(root, await requestOf(state));
  const copy = kept((await opened(t, root, 2)).state);
  t.equal(state.leader.counter, 1);
  t.equal(copy.leader.counter, 0, 'ballots begin anew, and none of the old cluster is above them');
  const retry = put('key 0', 'again', { session: 65_536, sequence: 60, lowestUnanswered: 1 });
  t.same(await run(copy, [retry]), [{ type: 'put', revision: 60 }]);
  t.same(await run(copy, [keyed('order', put('ordered', 'yes'))]), [{ type: 'put', revision: 61 }]);
  const leases = copy.leases({ type: 'leases', timeoutMs: 1, consistency: 'stale', lease: 0, after: 0 });
  t.match(leases.leases, [{ ttlMs: 30_000, remainingMs: 30_000 }]);
  const next = await run(copy, [put('key 0', 'new')]);
  t.same(next, [{ type: 'put', revision: seeded.revision + 1 }]);
  for (const revision of [1, 61, 62, seeded.revision - 1]) {
    const key = Buffer.from('key 0');
    const read = call((done) =>
      copy.getAt({ type: 'get', timeoutMs: 1, consistency: 'stale', key, revision }, done),
    );
    await t.rejects(read, { code: 'KVD_COMPACTED' }, `at ${revision}`);
    const from = { from: Buffer.alloc(0), to: Buffer.alloc(0), start: { revision, index: 0 }, limit: 0 };
    const history = call((done: Done<unknown>) => copy.history({ ...from, previous: false }, done as never));
    await t.rejects(history, { code: 'KVD_COMPACTED' }, `since ${revision}`);
  }
  await flush(copy);
  await call<void>((done) => copy.scrub(done));
});

test('what cannot be a cluster is refused, and leaves nothing', async (t) => {
  const state = await lived();
  const refused = async (
    root: string,
    more: Partial<SeedRequest>,
    kind: BackupError['kind'],
  ): Promise<void> => {
    const seeding = seedDirectories(root, await requestOf(state, more));
    await t.rejects(seeding, { name: 'BackupError', kind }, JSON.stringify(more));
  };
  const root = join(scratch(t), 'new');
  const [voter = MEMBERS[0] as (typeof MEMBERS)[0]] = MEMBERS;
  await refused(root, { slot: 3 }, 'bad-request');
  await refused(root, { slot: 2 ** 40 }, 'bad-request');
  await refused(root, { revisionStep: 0 }, 'bad-request');
  await refused(root, { revisionStep: Number.MAX_SAFE_INTEGER }, 'bad-request');
  await refused(root, { members: [voter, voter] }, 'bad-request');
  await refused(root, { members: [{ ...voter, role: 'learner' }] }, 'bad-request');
  await refused(root, { acceptQuorum: 4 }, 'bad-request');
  t.same(existsSync(root) ? readdirSync(root) : [], []);
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'mine'), '');
  await refused(root, {}, 'not-empty');
  t.same(readdirSync(root), ['mine']);
});

test('a snapshot that breaks off or is altered leaves nothing behind', async (t) => {
  const state = await lived();
  const { snapshot } = await requestOf(state);
  const chunks = await readSnapshot(snapshot as SnapshotReader);
  const flipped = chunks.map((chunk) => Buffer.from(chunk));
  const middle = flipped[1];
  if (middle !== undefined) middle[middle.length - 1] = (middle.at(-1) ?? 0) ^ 4;
  for (const bad of [[], chunks.slice(0, -1), chunks.slice(1), flipped]) {
    const root = scratch(t);
    await t.rejects(seedDirectories(root, await requestOf(state, { snapshot: readerOf(bad) })));
    t.same(readdirSync(root), []);
  }
});

test('a directory whose seeding was killed is set aside by the next start, and founds nothing', async (t) => {
  const state = await lived();
  const chunks = await readSnapshot((await requestOf(state)).snapshot as SnapshotReader);
  const root = join(scratch(t), 'new');
  const killed = join(scratch(t), 'killed');
  // What a kill would leave is copied away at each chunk: begun, half written, and whole but for the ends.
  let copies = 0;
  const reader = readerOf(chunks, () => {
    cpSync(root, `${killed}-${copies}`, { recursive: true });
    copies += 1;
  });
  await seedDirectories(root, await requestOf(state, { snapshot: reader }));
  t.ok(copies > 2, `${copies} copies`);
  for (let i = 0; i < copies; i += 1) {
    const request = { replicaId: 1, founding: '1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3' };
    const again = await openDirectory(join(`${killed}-${i}`, 'replica-1'), request);
    t.match(again, { isNew: true, mayFound: false });
    t.equal(again.setAside.length, 1);
    t.equal(again.log.recovered.chosenThrough, 0);
    await again.close();
  }
  rmSync(root, { recursive: true });
});

function readerOf(chunks: readonly Uint8Array[], onNext: () => void = () => {}): SeedRequest['snapshot'] {
  const left = [...chunks];
  return {
    next(_bytesMax, done) {
      queueMicrotask(() => {
        onNext();
        done(null, left.shift() ?? null);
      });
    },
    close() {},
  };
}
