/** Room comes back in pieces, and not at all where that is not worth it. */
import { test } from 'tap';
import type { Done } from '@kvd/replica';
import { numberKey } from '../src/bytes.js';
import { MemoryContent, MemoryStore } from '../src/index.js';
import type { KeyRange } from '../src/ordered-store.js';
import { Reclaimer } from '../src/reclaimer.js';

const MIB = 1024 * 1024;
const KEYS = 300;
const keyOf = (number: number): Buffer => numberKey('e', number);
const ALL_KEYS = Array.from({ length: KEYS }, (_, i) => keyOf(i));

/** Some hundred keys of so many bytes each; it keeps in mind what it compacted. */
class Heavy extends MemoryStore {
  readonly compacted: KeyRange[] = [];
  onCompact = (): void => {};

  constructor(private readonly bytesEach: number) {
    super(new MemoryContent());
  }

  override bytes(range: KeyRange | null, done: Done<number>): void {
    this.defer(() => done(null, this.bytesOf(range ?? { gte: keyOf(0), lt: keyOf(KEYS) })));
  }

  override compact(range: KeyRange, done: Done<void>): void {
    this.compacted.push(range);
    this.onCompact();
    this.defer(() => done(null, undefined));
  }

  bytesOf({ gte, lt }: KeyRange): number {
    return ALL_KEYS.filter((key) => gte.compare(key) <= 0 && key.compare(lt) < 0).length * this.bytesEach;
  }
}

const reclaim = (reclaimer: Reclaimer, range: KeyRange, isWorthIt = (_bytes: number): boolean => true) =>
  new Promise<number | null>((resolve) => reclaimer.reclaim(range, isWorthIt, resolve));

test('a large range goes in pieces, one behind the other, all of it', async (t) => {
  for (const [bytesEach, keys] of [
    [10, 200],
    [MIB / 2, 200],
    [3 * MIB, 200],
    [100 * MIB, 2],
  ] as const) {
    const store = new Heavy(bytesEach);
    const range = { gte: keyOf(0), lt: keyOf(keys) };
    t.equal(await reclaim(new Reclaimer(store), range), KEYS * bytesEach);
    const { compacted } = store;
    const sizes = compacted.map((piece) => store.bytesOf(piece));
    t.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      keys * bytesEach,
    );
    t.ok(
      sizes.every((size) => size > 0 && size <= Math.max(64 * MIB, bytesEach)),
      `pieces of ${sizes.join(', ')}`,
    );
    for (const [i, piece] of compacted.entries())
      t.ok(i === 0 || piece.gte.compare(compacted[i - 1]?.lt ?? piece.gte) >= 0, 'none twice');
  }
});

test('who stops it waits for one piece at most', async (t) => {
  const store = new Heavy(MIB);
  const reclaimer = new Reclaimer(store);
  store.onCompact = () => {
    if (store.compacted.length === 3) reclaimer.stop();
  };
  t.equal(await reclaim(reclaimer, { gte: keyOf(0), lt: keyOf(KEYS) }), null);
  t.equal(store.compacted.length, 3);
  store.onCompact = () => {};
  t.equal(
    await reclaim(reclaimer, { gte: keyOf(0), lt: keyOf(KEYS) }),
    KEYS * MIB,
    'and again from the start',
  );
  t.same(store.compacted[3]?.gte, keyOf(0));
});

test('it is asked whether it is worth it, and does one thing at a time', async (t) => {
  const store = new Heavy(MIB);
  const reclaimer = new Reclaimer(store);
  const range = { gte: keyOf(0), lt: keyOf(10) };
  const asked: number[] = [];
  const no = (bytes: number): boolean => asked.push(bytes) === 0;
  t.equal(await reclaim(reclaimer, range, no), null);
  t.strictSame([asked, store.compacted], [[KEYS * MIB], []]);
  const first = reclaim(reclaimer, range);
  t.equal(await reclaim(reclaimer, range), null, 'another is under way');
  t.equal(await first, KEYS * MIB);
});
