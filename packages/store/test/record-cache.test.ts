/** The cache of records: whatever it says is true, it keeps what is in use, and its memory has a bound. */
import { test } from 'tap';
import { RecordCache } from '../src/record-cache.js';

/** As of a plain Map: deterministic, so that a failure can be looked at. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const keyOf = (i: number): string => `key ${i}`;
const recordOf = (i: number, version: number, length: number): Buffer =>
  Buffer.alloc(length, `${i}:${version} `);

for (const bytes of [0, 100, 4096, 64 * 1024, 1024 * 1024]) {
  test(`a cache of ${bytes} bytes says nothing that is not so`, async (t) => {
    const pick = numbers(bytes + 1);
    const cache = new RecordCache(bytes);
    const truth = new Map<string, Buffer | null>();
    let wrong = 0;
    let hits = 0;
    for (let step = 0; step < 60_000; step += 1) {
      const i = pick(300);
      const key = keyOf(i);
      if (pick(3) === 0) {
        // Some of one length, some absent, some larger than a segment of the small caches.
        const lengths = [50, 50, 50, 0, 51, pick(2000)];
        const length = lengths[pick(lengths.length)] as number;
        const record = pick(10) === 0 ? null : recordOf(i, step, length);
        cache.set(key, record);
        truth.set(key, record);
        continue;
      }
      const known = cache.get(key);
      if (known === undefined) continue;
      hits += 1;
      const expected = truth.get(key);
      const isRight = known === null ? expected === null : expected?.equals(known) === true;
      if (!isRight) wrong += 1;
    }
    t.equal(wrong, 0);
    if (bytes === 1024 * 1024) t.ok(hits > 39_000, `all fits, so nearly all reads are hits: ${hits}`);
    if (bytes === 0) t.equal(hits, 0);
  });
}

test('what was given out stays as it was when the record is overwritten', async (t) => {
  const cache = new RecordCache(64 * 1024);
  cache.set('a', Buffer.from('before'));
  const given = cache.get('a');
  cache.set('a', Buffer.from('behind'));
  t.equal(given?.toString(), 'before');
  t.equal(cache.get('a')?.toString(), 'behind');
});

test('a record that is too large is not kept, and neither is the one before it', async (t) => {
  const cache = new RecordCache(8 * 1024);
  cache.set('a', Buffer.from('small'));
  cache.set('a', Buffer.alloc(2000));
  t.equal(cache.get('a'), undefined);
});

test('keys that differ in one byte, or in length, are different keys', async (t) => {
  const cache = new RecordCache(256 * 1024);
  const keys = ['', '\0', '\0\0', 'a', 'b', 'aa', 'ab', '\xff', '\xfe', 'a'.repeat(4096)];
  for (const key of keys) cache.set(key, Buffer.from(`of ${key.length} ${key}`, 'latin1'));
  for (const key of keys) t.equal(cache.get(key)?.toString('latin1'), `of ${key.length} ${key}`);
});

test('what is read goes on being kept while other keys come and go', async (t) => {
  const cache = new RecordCache(256 * 1024);
  const hot = Array.from({ length: 100 }, (_, i) => `hot ${i}`);
  for (const key of hot) cache.set(key, Buffer.alloc(100));
  let misses = 0;
  for (let i = 0; i < 50_000; i += 1) {
    cache.set(`cold ${i}`, Buffer.alloc(100));
    const key = hot[i % hot.length] as string;
    if (cache.get(key) !== undefined) continue;
    misses += 1;
    cache.set(key, Buffer.alloc(100));
  }
  // The first of each; and of a full set the oldest goes, which a hot key may be for once.
  t.ok(misses < 500, `${misses} of 50,000 reads of hot keys missed`);
  t.equal(cache.get('cold 0'), undefined);
});

test('nearly as many records fit as there is room for, in memory that does not grow after', async (t) => {
  const bytes = 4 * 1024 * 1024;
  const cache = new RecordCache(bytes);
  const record = Buffer.alloc(141);
  const count = Math.floor((0.75 * bytes) / (record.length + 20));
  for (let i = 0; i < count; i += 1) cache.set(keyOf(i), record);
  let hits = 0;
  for (let i = 0; i < count; i += 1) if (cache.get(keyOf(i)) !== undefined) hits += 1;
  t.ok(hits > 0.97 * count, `${hits} of ${count}`);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 300_000; i += 1) cache.set(keyOf(i), record);
  t.ok(process.memoryUsage().arrayBuffers - before < bytes);
});
