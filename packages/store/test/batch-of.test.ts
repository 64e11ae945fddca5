/** Batches that are made over several turns, on LevelDB and on its memory twin. */
import { test } from 'tap';
import { openStateStore } from '../src/file-disk.js';
import { LevelStore } from '../src/level-store.js';
import { MemoryContent, MemoryStore } from '../src/memory-store.js';
import type { OrderedStore, StoreOp } from '../src/ordered-store.js';
import { call, scratch } from './helpers.js';

const PAGES = 5;

function page(i: number): readonly StoreOp[] {
  return [0, 1].map((j) => ({ key: Buffer.from(`key ${i} ${j}`), value: Buffer.from(`value ${i} ${j}`) }));
}

function* pages(onPage: (i: number) => void): Generator<readonly StoreOp[]> {
  for (let i = 0; i < PAGES; i += 1) {
    onPage(i);
    yield page(i);
  }
}

function holds(store: OrderedStore): number {
  const keys = Array.from({ length: PAGES }, (_, i) => page(i)).flat();
  return keys.filter(({ key, value }) => value !== null && store.get(key)?.equals(value) === true).length;
}

const levelOptions = {
  createIfMissing: true,
  writeBufferBytes: 65_536,
  cacheBytes: 65_536,
  compression: false,
};

for (const [name, open] of [
  ['LevelDB', (path: string): Promise<OrderedStore> => LevelStore.open(path, levelOptions)],
  ['memory', (): Promise<OrderedStore> => Promise.resolve(new MemoryStore(new MemoryContent()))],
  [
    'a state',
    (path: string): Promise<OrderedStore> => openStateStore(path, { createIfMissing: true, mayCreate: true }),
  ],
] as const) {
  test(`${name}: all pages are written as one batch, none before the last is made`, async (t) => {
    const store = await open(scratch(t));
    const before: number[] = [];
    await call<void>((done) =>
      store.batchOf(
        pages(() => before.push(holds(store))),
        done,
      ),
    );
    t.strictSame(before, Array(PAGES).fill(0));
    t.equal(holds(store), 2 * PAGES);
    await call<void>((done) => store.close(done));
  });

  test(`${name}: when the making of a page fails nothing is written`, async (t) => {
    const store = await open(scratch(t));
    const failing = pages((i) => {
      if (i === PAGES - 1) throw new Error('no page');
    });
    await t.rejects(
      call<void>((done) => store.batchOf(failing, done)),
      /no page/,
    );
    t.equal(holds(store), 0);
    await call<void>((done) => store.batch(page(0), done));
    t.equal(holds(store), 2, 'and the store goes on');
    await call<void>((done) => store.close(done));
  });
}

test('LevelDB: others get their turn while a batch is made', async (t) => {
  const store = await LevelStore.open(scratch(t), levelOptions);
  let [made, turnsOfOthers] = [0, 0];
  const other = (): void => {
    turnsOfOthers += 1;
    if (made < PAGES) setImmediate(other);
  };
  setImmediate(other);
  await call<void>((done) =>
    store.batchOf(
      pages(() => (made += 1)),
      done,
    ),
  );
  t.ok(turnsOfOthers >= PAGES - 1, `${turnsOfOthers} turns while ${PAGES} pages were made`);
  await call<void>((done) => store.close(done));
});
