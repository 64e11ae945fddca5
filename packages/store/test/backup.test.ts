/** Backups: what is in them, what is refused, what a new cluster made of one holds. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import {
  BackupDecoder,
  type BackupError,
  BackupWriter,
  checkBackup,
  createMemoryState,
  type KvState,
  openDirectory,
  restoreBackup,
  SLOT_STEP,
} from '../src/index.js';
import type { StateSnapshot } from '../src/snapshot.js';
import { apply, call, del, flush, kept, keyed, put, run, scanAll, scratch, text } from './helpers.js';

const CLUSTER = 'cd'.repeat(16);
const NEW_CLUSTER = 'ef'.repeat(16);
const ORIGIN = { clusterId: CLUSTER, replicaId: 2, wallMs: 1_700_000_000_000 };
const VOTER = { replicaId: 1, role: 'voter', incarnation: 'ab'.repeat(16), address: '127.0.0.1:1' } as const;
const FOUNDED = { clusterId: CLUSTER, alpha: 16, replaces: 0, members: [VOTER], acceptQuorum: 0 };

/** Some values lie apart: in a backup they do not. */
const OPTIONS = { cacheBytes: 1024 * 1024, apartBytes: 8, spanRevisions: 8, versions: 'spans' } as const;

/** A configuration, keys with a history, a session, an idempotency key, a lease. */
async function lived(puts = 30): Promise<KvState> {
  const state = createMemoryState(undefined, OPTIONS);
  await apply(state, { type: 'configuration', configuration: FOUNDED });
  await run(state, [{ type: 'open-session' }], 1000);
  for (let sequence = 1; sequence <= puts; sequence += 1) {
    const origin = { session: 131_072, sequence, lowestUnanswered: Math.max(1, sequence - 5) };
    await run(state, [put(`key ${sequence % 10}`, `value ${sequence}`, origin)]);
  }
  await run(state, [keyed('order', put('ordered', 'yes')), del('key 3')], 2000);
  const origin = { session: 0, sequence: 0, lowestUnanswered: 0 };
  await run(state, [{ type: 'lease-grant', origin, ttlMs: 30_000 }]);
  await flush(state);
  return state;
}

async function partsOf(state: KvState, bytesMax = 200): Promise<Buffer[]> {
  const snapshot = await call<StateSnapshot | null>((done) => state.openDurable('present', done));
  if (snapshot === null) throw new Error('no snapshot');
  const writer = new BackupWriter(snapshot, ORIGIN);
  const parts: Buffer[] = [];
  for (;;) {
    const part = await call<Buffer | null>((done) => writer.next(bytesMax, done));
    if (part === null) return parts;
    parts.push(part);
  }
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Why it is refused, or null. */
function refusalOf(bytes: Buffer): BackupError | null {
  const decoder = new BackupDecoder();
  try {
    decoder.push(bytes);
    decoder.finish();
    return null;
  } catch (error) {
    return error as BackupError;
  }
}

test('a backup says what it is of, and is whole however it arrives', async (t) => {
  const state = await lived();
  const parts = await partsOf(state);
  t.ok(parts.length > 4, `${parts.length} parts`);
  const bytes = Buffer.concat(parts);
  for (const size of [1, 7, 500, bytes.length]) {
    const checked = await checkBackup(inPieces(bytes, size));
    t.match(checked, { bytes: bytes.length, sessions: 1, leases: 1, idempotencyKeys: 1 });
    const { head, ...origin } = checked.header;
    t.same(origin, { ...ORIGIN, compactRevision: state.compactRevision });
    t.equal(head.contentHash.toString(), state.contentHash);
    t.equal(head.runningHash.toString(), state.stateHash);
    t.match(head, { appliedThrough: state.appliedThrough, revision: state.revision, keys: 10 });
    t.same(head.configurations, [{ slot: 1, configuration: FOUNDED }]);
    t.same(head.kept.records, 0, 'without the history');
  }
});

test('a backup shows one state, whatever is written while it is read', async (t) => {
  const state = await lived();
  const snapshot = await call<StateSnapshot | null>((done) => state.openDurable('present', done));
  const writer = new BackupWriter(snapshot as StateSnapshot, ORIGIN);
  const before = { revision: state.revision, hash: state.contentHash };
  const parts: Buffer[] = [];
  for (let i = 0; ; i += 1) {
    const part = await call<Buffer | null>((done) => writer.next(300, done));
    if (part === null) break;
    parts.push(part);
    await run(state, [put(`key ${i % 10}`, `later ${i}`)]);
    await flush(state);
  }
  const { header } = await checkBackup(inPieces(Buffer.concat(parts), 1000));
  t.same({ revision: header.head.revision, hash: header.head.contentHash.toString() }, before);
  t.ok(state.revision > before.revision + 3);
});

test('what is applied but not on disk is not in a backup, and nothing is flushed for it', async (t) => {
  const state = await lived();
  const { durableThrough, durableRevision } = state;
  await run(state, [put('in memory', '1')]);
  const { header } = await checkBackup(inPieces(Buffer.concat(await partsOf(state)), 1000));
  t.equal(header.head.appliedThrough, durableThrough);
  t.equal(header.head.revision, durableRevision);
  t.equal(state.durableThrough, durableThrough);
});

test('a backup cut short at any byte is refused, and one that goes on', async (t) => {
  const bytes = Buffer.concat(await partsOf(await lived()));
  for (let length = 0; length < bytes.length; length += 1) {
    if (refusalOf(bytes.subarray(0, length)) === null) t.fail(`cut at ${length} of ${bytes.length}`);
  }
  t.equal(refusalOf(bytes), null);
  t.match(refusalOf(Buffer.concat([bytes, Buffer.of(0)])), { kind: 'damaged' });
  t.match(refusalOf(Buffer.concat([bytes, bytes])), { kind: 'damaged' });
});

test('a backup with any flipped bit is refused', async (t) => {
  const bytes = Buffer.concat(await partsOf(await lived(3)));
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const at = bit >> 3;
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
    if (refusalOf(bytes) === null) t.fail(`bit ${bit}`);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
  }
  t.equal(refusalOf(bytes), null, `${bytes.length * 8} bits were flipped`);
});

test('a backup with blocks missing, doubled, in another order or of another backup is refused', async (t) => {
  const parts = await partsOf(await lived(60), 300);
  const others = await partsOf(await lived(61), 300);
  const indices = parts.map((_, i) => i);
  const source = fc.constantFrom(
    ...indices.map((i) => ({ own: true, i })),
    ...indices.map((i) => ({ own: false, i })),
  );
  const partOf = ({ own, i }: { own: boolean; i: number }) => (own ? parts[i] : others[i]) ?? Buffer.of();
  const whole = Buffer.concat(parts);
  const foreign = Buffer.concat(others);
  const mixed = fc.array(source, { maxLength: parts.length + 2 });
  fc.assert(
    fc.property(fc.oneof(mixed, fc.shuffledSubarray(indices.map((i) => ({ own: true, i })))), (places) => {
      const bytes = Buffer.concat(places.map(partOf));
      return bytes.equals(whole) || bytes.equals(foreign) || refusalOf(bytes) !== null;
    }),
    { seed: 5, numRuns: 500 },
  );
  // One block exchanged for the one in its place, each checksum of which is right.
  for (const i of indices) {
    const bytes = Buffer.concat(parts.map((part, j) => (i === j ? partOf({ own: false, i }) : part)));
    if (!bytes.equals(whole)) t.ok(refusalOf(bytes), `block ${i} of another backup`);
  }
});

test('what is no backup, and one of a later format, are told apart from a damaged one', async (t) => {
  t.match(refusalOf(Buffer.from('{"key":"a","value":"1"}\n')), { kind: 'no-backup' });
  t.match(refusalOf(Buffer.alloc(0)), { kind: 'no-backup' });
  const { BACKUP_MAGIC, encodeBlock } = await import('../src/backup-format.js');
  const later = Buffer.concat([BACKUP_MAGIC, encodeBlock('header', Buffer.of(0x92, 2, 0xc0))]);
  t.match(refusalOf(later), { kind: 'newer-format', message: /format 2/ });
});

test('a restored cluster holds what the backup says, under a new name, above the old slots and revisions', async (t) => {
  const state = await lived();
  const bytes = Buffer.concat(await partsOf(state));
  const root = scratch(t);
  const seen: number[] = [];
  const { backup, cluster } = await restoreBackup(root, inPieces(bytes, 777), {
    clusterId: NEW_CLUSTER,
    members: [
      { replicaId: 1, address: '127.0.0.1:1', role: 'voter' },
      { replicaId: 2, address: '127.0.0.1:2', role: 'voter' },
    ],
    revisionStep: 5000,
    onProgress: (keys) => seen.push(keys),
  });
  t.equal(cluster.contentHash, backup.header.head.contentHash.toString());
  t.match(cluster, { revision: state.revision + 5000, slot: state.appliedThrough + SLOT_STEP, keys: 10 });
  t.equal(seen.at(-1), 10);
  for (const replicaId of [1, 2]) {
    const path = join(root, `replica-${replicaId}`);
    const opened = await openDirectory(path, { replicaId, founding: null });
    t.teardown(() => opened.close());
    const { clusterId, log } = opened;
    const copy = kept(opened.state);
    t.equal(clusterId, NEW_CLUSTER);
    t.equal(log.recovered.configurations[0]?.configuration.alpha, 16);
    t.equal(copy.contentHash, state.contentHash);
    const entries = (each: KvState) =>
      scanAll(each).then((all) =>
        all.map(({ key, value, modRevision }) => [text(key), text(value), modRevision]),
      );
    t.same(await entries(copy), await entries(state));
  }
});

test('a backup that is cut or altered makes no cluster, wherever it is', async (t) => {
  const bytes = Buffer.concat(await partsOf(await lived()));
  const request = {
    clusterId: NEW_CLUSTER,
    members: [{ replicaId: 1, address: '127.0.0.1:1', role: 'voter' as const }],
    revisionStep: 5000,
  };
  const root = scratch(t);
  for (let at = 5; at < bytes.length; at += 211) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ 16;
    for (const bad of [flipped, bytes.subarray(0, at)])
      await t.rejects(restoreBackup(root, inPieces(bad, 64), request), { name: 'BackupError' });
    t.same(readdirSync(root), []);
  }
});

test('a backup of format 1 that was taken long ago is still read', async (t) => {
  const bytes = readFileSync(new URL('fixtures/format-1.backup', import.meta.url));
  const { header, records } = await checkBackup(inPieces(bytes, 100));
  t.match(header, { clusterId: CLUSTER, replicaId: 2, head: { revision: 7, keys: 5 } });
  t.equal(header.head.contentHash.toString(), 'd0f623a4084f2626');
  t.equal(records, 9);
});
