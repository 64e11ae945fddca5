/** A place in a range: how much it fetches, and that an error loses nothing. */
import type { Entry } from '@kvd/client';
import t from 'tap';
import { Cursor, type CursorOptions } from '../src/cursor.js';
import { isIn, Keyspace, type Range } from '../src/keyspace.js';
import type { Remote, RemoteScan } from '../src/remote.js';

const KEYS = Array.from({ length: 5_000 }, (_, i) => String(i).padStart(4, '0'));

/** A cluster at rest; `failAfter` entries the next scan breaks off. */
class FakeRemote {
  readonly scans: { at: number; limit: number }[] = [];
  failAfter = Number.POSITIVE_INFINITY;

  async *scan({ range, at, reverse, limit }: RemoteScan): AsyncGenerator<Entry, void, void> {
    this.scans.push({ at, limit });
    const found = KEYS.map((key) => Buffer.from(key)).filter((key) => isIn(range, key));
    let left = this.failAfter;
    this.failAfter = Number.POSITIVE_INFINITY;
    for (const keyBytes of (reverse ? found.reverse() : found).slice(0, limit)) {
      if (left-- === 0) throw new Error('no quorum');
      yield { keyBytes } as unknown as Entry;
    }
  }
}

function cursorOf(remote: FakeRemote, options: Partial<CursorOptions> = {}): Cursor {
  const range: Range = new Keyspace(Buffer.from('')).range({});
  const defaults = {
    range,
    reverse: false,
    keysOnly: false,
    limit: Number.POSITIVE_INFINITY,
    signal: undefined,
  };
  return new Cursor(remote as unknown as Remote, Promise.resolve(7), { ...defaults, ...options });
}

async function keysOf(entries: Promise<Entry[]>): Promise<string[]> {
  return (await entries).map(({ keyBytes }) => Buffer.from(keyBytes).toString());
}

t.test('one by one, it fetches a little first and then much, always at its revision', async (t) => {
  const remote = new FakeRemote();
  const cursor = cursorOf(remote);
  const keys: string[] = [];
  for (let found = await keysOf(cursor.take(1)); found.length > 0; found = await keysOf(cursor.take(1)))
    keys.push(...found);
  t.same(keys, KEYS);
  t.same(remote.scans, [
    { at: 7, limit: 64 },
    { at: 7, limit: 1_024 },
    { at: 7, limit: 16_384 },
  ]);
});

t.test('all at once is one scan; a limit holds over seeks', async (t) => {
  const remote = new FakeRemote();
  t.same(await keysOf(cursorOf(remote).take(Number.POSITIVE_INFINITY)), KEYS);
  t.equal(remote.scans.length, 1);
  const cursor = cursorOf(remote, { limit: 5, reverse: true });
  t.same(await keysOf(cursor.take(2)), ['4999', '4998']);
  cursor.seek(Buffer.from('00105'));
  t.same(await keysOf(cursor.take(9)), ['0010', '0009', '0008']);
  cursor.seek(Buffer.from('2'));
  t.same(await keysOf(cursor.take(1)), []);
});

t.test('after an error it goes on where it was, without a gap or a repetition', async (t) => {
  for (const reverse of [false, true]) {
    const remote = new FakeRemote();
    const cursor = cursorOf(remote, { reverse });
    const keys = await keysOf(cursor.take(10));
    remote.failAfter = 0;
    keys.push(...(await keysOf(cursor.take(54))));
    await t.rejects(cursor.take(1), { message: 'no quorum' });
    remote.failAfter = 30;
    await t.rejects(cursor.take(100), { message: 'no quorum' }, 'what it had got of the hundred is not lost');
    keys.push(...(await keysOf(cursor.take(Number.POSITIVE_INFINITY))));
    t.same(keys, reverse ? KEYS.toReversed() : KEYS);
  }
});

t.test('a revision that could not be had fails every take and nothing else', async (t) => {
  const failed = Promise.reject(new Error('no quorum'));
  const range = new Keyspace(Buffer.from('')).range({});
  const options = { range, reverse: false, keysOnly: false, limit: 1, signal: undefined };
  const cursor = new Cursor(new FakeRemote() as unknown as Remote, failed, options);
  await t.rejects(cursor.take(1), { message: 'no quorum' });
  await t.rejects(cursor.take(1), { message: 'no quorum' });
});
