/** Several readers as one: order, ends, failures. */
import { test } from 'tap';
import { MergedReader } from '../src/merged-reader.js';
import type { Pair, RangeReader } from '../src/ordered-store.js';
import { call, randomFrom } from './helpers.js';

/** Gives its keys by at most `pageMax` at a time, and fails after `failsAfter` of them. */
class ListReader implements RangeReader {
  closed = false;

  constructor(
    private readonly keys: string[],
    private readonly pageMax = 3,
    private readonly failsAfter = Number.POSITIVE_INFINITY,
  ) {}

  next(pairsMax: number, done: (error: Error | null, pairs: readonly Pair[]) => void): void {
    const page = this.keys.splice(0, Math.min(pairsMax, this.pageMax));
    const failure = this.failsAfter < page.length ? new Error('of the disk') : null;
    queueMicrotask(() => done(failure, failure === null ? page.map(pairOf) : []));
  }

  getMany(keys: readonly Buffer[], done: (error: null, found: readonly Buffer[]) => void): void {
    queueMicrotask(() => done(null, [...keys]));
  }

  close(): void {
    this.closed = true;
  }
}

const pairOf = (key: string): Pair => [Buffer.from(key), Buffer.from('')];
const keyOf = ([key]: Pair): Buffer => key;

async function readAll(reader: RangeReader, pairsMax: number): Promise<string[]> {
  const read: string[] = [];
  for (;;) {
    const pairs = await call<readonly Pair[]>((done) => reader.next(pairsMax, done));
    if (pairs.length === 0) return read;
    if (pairs.length > pairsMax) throw new Error('more than was asked for');
    read.push(...pairs.map(([key]) => key.toString()));
  }
}

test('every pair of every reader comes once, in order, up or down, however large the pages', async (t) => {
  const random = randomFrom(7);
  for (let round = 0; round < 60; round += 1) {
    const lists = Array.from({ length: 1 + Math.floor(random() * 5) }, () =>
      Array.from({ length: Math.floor(random() * 12) }, () => `k${Math.floor(random() * 1_000)}`).sort(),
    );
    const wanted = lists.flat().sort();
    const reverse = round % 2 === 1;
    if (reverse) for (const list of [wanted, ...lists]) list.reverse();
    const readers = lists.map((list) => new ListReader([...list], 1 + Math.floor(random() * 4)));
    const merged = new MergedReader(readers, keyOf, reverse);
    t.same(await readAll(merged, 1 + Math.floor(random() * 8)), wanted);
    merged.close();
    t.ok(readers.every(({ closed }) => closed));
  }
});

test('what one of the readers fails of, all fail of', async (t) => {
  const merged = new MergedReader(
    [new ListReader(['a', 'b']), new ListReader(['c', 'd', 'e'], 3, 1)],
    keyOf,
    false,
  );
  await t.rejects(readAll(merged, 10), /of the disk/);
  const found = await call<readonly (Buffer | undefined)[]>((done) =>
    merged.getMany([Buffer.from('x')], done),
  );
  t.same(found, [Buffer.from('x')]);
});
