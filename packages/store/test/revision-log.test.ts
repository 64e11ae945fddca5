/** What revisions did, encoded before a flush wants it: whatever their sizes, it reads back as it was. */
import { test } from 'tap';
import type { RevisionDone, RevisionPart, StoredEvent } from '../src/history-records.js';
import { decodeRevisions, RECORD_EVENTS_MAX } from '../src/history-records.js';
import { RevisionLog } from '../src/revision-log.js';

const EVENTS = [1, 1, 1, 127, 128, 129, 1, 300, 2, 1, 128, 1];

function done(revision: number, count: number, keyBytes = 12): RevisionDone {
  const events: StoredEvent[] = Array.from({ length: count }, (_, i) => ({
    kind: i % 3 === 2 ? 'delete' : 'put',
    key: `${i}`.padEnd(keyBytes, 'x'),
    before: i % 2 === 0 ? 0 : revision - 1,
  }));
  const note = {
    wallMs: 1_700_000_000_000 + revision,
    session: 7,
    sequence: revision,
    idempotencyKey: new Uint8Array(0),
    principal: revision % 2 === 0 ? 'somebody' : '',
    reason: '',
  };
  return { revision, note, events };
}

/** The revisions that the parts make up, which come in order. */
function joined(parts: readonly RevisionPart[]): RevisionDone[] {
  const result: { revision: number; note: RevisionDone['note']; events: StoredEvent[] }[] = [];
  for (const { revision, note, index, events } of parts) {
    if (index === 0) result.push({ revision, note, events: [] });
    const last = result.at(-1);
    if (last?.revision !== revision || last.events.length !== index) throw new Error('out of order');
    last.events.push(...events);
  }
  return result.map(({ note, ...rest }) => ({
    ...rest,
    note: { ...note, idempotencyKey: new Uint8Array(note.idempotencyKey) },
  }));
}

test('revisions of all sizes share records, are cut into parts, and read back', async (t) => {
  const log = new RevisionLog();
  const all = EVENTS.map((count, i) => done(i + 1, count));
  for (const revision of all) log.add(revision);
  t.equal(log.count, all.length);
  const parts = log.records.map((record) => decodeRevisions(record.key, record.body()));
  t.strictSame(joined(parts.flat()), all);
  for (const of of parts) t.ok(of.flatMap(({ events }) => events).length <= RECORD_EVENTS_MAX);
  for (const [i, of] of parts.entries())
    t.equal(log.records[i]?.through, of.at(-1)?.revision, 'how far a record goes');
  const filled = parts.slice(0, -1).map((of) => of.flatMap(({ events }) => events).length);
  t.ok(
    filled.every((count) => count === RECORD_EVENTS_MAX),
    'all but the last are full',
  );
});

test('long keys fill a record before it has many events', async (t) => {
  const log = new RevisionLog();
  const all = Array.from({ length: 40 }, (_, i) => done(i + 1, 3, 4096));
  for (const revision of all) log.add(revision);
  t.ok(log.records.length > 20);
  t.strictSame(joined(log.records.flatMap((record) => decodeRevisions(record.key, record.body()))), all);
});

test('what a reader took stays as it was while the record goes on growing', async (t) => {
  const log = new RevisionLog();
  log.add(done(1, 1));
  log.add(done(2, 2));
  const taken = log.records.map((record) => record.snapshot());
  for (let revision = 3; revision <= 100; revision += 1) log.add(done(revision, 1, 200));
  t.strictSame(joined(taken.flatMap((parts) => parts())), [done(1, 1), done(2, 2)]);
});
