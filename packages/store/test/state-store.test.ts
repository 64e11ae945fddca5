/** A state in two databases: what a batch says is there whole or not at all, whatever a crash cuts it into. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'tap';
import type { Done } from '@kvd/replica';
import { MemoryContent, MemoryStore } from '../src/index.js';
import { keyText } from '../src/bytes.js';
import { LevelStore } from '../src/level-store.js';
import {
  type KeyRange,
  type OrderedStore,
  type Pair,
  type RangeReader,
  type StoreBatch,
  type StoreOp,
} from '../src/ordered-store.js';
import { consistentRange, formatStateOps } from '../src/state-loader.js';
import {
  ALL_VALUES,
  DEAD_BYTES_KEY,
  emptyHead,
  generationRanges,
  LAST_VALUE_KEY,
  presentRange,
  sealStateHead,
  STATE_HEAD_KEY,
  stateKey,
  unsealStateHead,
  valueKey,
} from '../src/state-records.js';
import { StateStore } from '../src/state-store.js';
import { bytes, call, randomFrom, scratch } from './helpers.js';

const OUTDATED_MAX = 5;
const GENERATION = 1;
/** Of an install that never ends: its values are put and removed again. */
const OTHER = 9;

/** The disk and its thread: what it is asked for it does one after the other, and is heard of later. */
class Tasks {
  private readonly queues = {
    read: [] as (() => void)[],
    write: [] as (() => void)[],
    heard: [] as (() => void)[],
  };

  constructor(private readonly random: () => number) {}

  readonly add = (task: () => void, kind: 'read' | 'write' | 'heard'): void =>
    void this.queues[kind].push(task);

  /** Does one thing. False: there is nothing to do. */
  step(): boolean {
    const busy = Object.values(this.queues).filter((queue) => queue.length > 0);
    const task = busy[Math.floor(this.random() * busy.length)]?.shift();
    task?.();
    return task !== undefined;
  }
}

/** A store whose writes are on the disk before their writer knows. */
class Unheard implements OrderedStore {
  constructor(
    private readonly inner: MemoryStore,
    private readonly tasks: Tasks,
  ) {}

  get = (key: Buffer): Buffer | undefined => this.inner.get(key);
  range = (...ranges: KeyRange[]): RangeReader => this.inner.range(...ranges);
  sweep = (): void => this.inner.sweep();
  bytes = (range: KeyRange | null, done: Done<number>): void => this.inner.bytes(range, done);
  compact = (range: KeyRange, done: Done<void>): void => this.inner.compact(range, done);
  defer = (task: () => void): void => this.inner.defer(task);
  open = (done: Done<void>): void => this.inner.open(done);
  close = (done: Done<void>): void => this.inner.close(done);
  batch = (ops: readonly StoreOp[], done: Done<void>): void => this.inner.batch(ops, this.later(done));
  batchOf = (pages: Iterable<readonly StoreOp[]>, done: Done<void>): void =>
    this.inner.batchOf(pages, this.later(done));

  begin(): StoreBatch {
    const batch = this.inner.begin();
    return { ...batch, write: (done) => batch.write(this.later(done)) };
  }

  private later(done: Done<void>): Done<void> {
    return (error) => this.tasks.add(() => done(error, undefined), 'heard');
  }
}

/** What a batch leaves, records and values by their disk keys. */
interface Model {
  readonly revision: number;
  readonly pairs: ReadonlyMap<string, string>;
  /** Values of the other generation. */
  readonly others: ReadonlySet<string>;
}

/** One process after the other on the same disk. */
class Lives {
  readonly records = new MemoryContent();
  readonly values = new MemoryContent();
  /** By the number of the batch, which stands as appliedThrough in the head. */
  private readonly models = new Map<number, Model>();
  private acknowledged = 0;
  tasks: Tasks;
  store: StateStore | null = null;
  private opened: MemoryStore[] = [];
  readonly seen = { unfinished: 0, swept: 0, midway: 0, landed: 0 };

  constructor(
    readonly random: () => number,
    oldValues: boolean,
  ) {
    this.tasks = new Tasks(random);
    this.records.apply(formatStateOps());
    const pairs = new Map<string, string>();
    const revision = oldValues ? 6 : 0;
    for (let at = 1; at <= revision; at += 1) {
      const ops = [this.stub(at), this.value(GENERATION, at)];
      this.records.apply(ops);
      for (const { key, value } of ops) pairs.set(keyText(key), keyText(value));
    }
    this.records.apply([headOf(0, revision)]);
    this.models.set(0, { revision, pairs, others: new Set() });
  }

  draw(below: number): number {
    return Math.floor(this.random() * below);
  }

  stub(revision: number): { key: Buffer; value: Buffer } {
    return { key: stateKey(GENERATION, Buffer.from(`k${revision}`)), value: Buffer.from(`stub ${revision}`) };
  }

  value(generation: number, revision: number): { key: Buffer; value: Buffer } {
    const key = stateKey(generation, valueKey(bytes(`${revision % 7}`), revision));
    return { key, value: Buffer.from(`value ${revision}`) };
  }

  async start(): Promise<void> {
    this.tasks = new Tasks(this.random);
    this.opened = [];
    const open = async (content: MemoryContent): Promise<OrderedStore> => {
      const store = new MemoryStore(content, this.tasks.add);
      this.opened.push(store);
      return new Unheard(store, this.tasks);
    };
    const opening = StateStore.open({
      mayCreate: true,
      paced: false,
      outdatedMax: OUTDATED_MAX,
      deadBytesMax: 0,
      hasValues: () => true,
      openRecords: () => open(this.records),
      openValues: () => open(this.values),
    });
    this.store = await this.settled(opening);
    const { number } = this.head();
    if (number < this.acknowledged)
      throw new Error(`batch ${this.acknowledged} was acknowledged, ${number} is there`);
    for (const later of [...this.models.keys()].filter((key) => key > number)) this.models.delete(later);
    this.acknowledged = number;
    const bound = stateKey(GENERATION, valueKey(bytes(''), this.model(number).revision + 1));
    if (this.values.slice({ ...ALL_VALUES, gte: bound }).some(([key]) => key.readUInt32BE(1) === GENERATION))
      this.seen.unfinished += 1;
  }

  crash(): void {
    for (const store of this.opened) store.crash();
    this.store = null;
  }

  /** Runs the disk until it is settled. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const end = (): void => {
      over = true;
    };
    promise.then(end, end);
    while (!over) {
      this.tasks.step();
      await new Promise((turn) => setImmediate(turn));
    }
    return promise;
  }

  head(): { readonly number: number; readonly revision: number } {
    const record = this.current().get(STATE_HEAD_KEY);
    if (record === undefined) throw new Error('there is no head');
    const { appliedThrough, revision } = unsealStateHead(record).head;
    return { number: appliedThrough, revision };
  }

  current(): StateStore {
    if (this.store === null) throw new Error('nothing is open');
    return this.store;
  }

  model(number: number): Model {
    const model = this.models.get(number);
    if (model === undefined) throw new Error(`there is no batch ${number}`);
    return model;
  }

  /** Writes a batch of whatever there may be in one. */
  write(): void {
    const before = this.acknowledged;
    const { revision: last, pairs, others } = this.model(before);
    const [after, othersAfter] = [new Map(pairs), new Set(others)];
    const ops: StoreOp[] = [];
    const put = ({ key, value }: { key: Buffer; value: Buffer }): void => {
      ops.push({ key, value });
      after.set(keyText(key), keyText(value));
    };
    const remove = (key: Buffer): void => {
      ops.push({ key, value: null });
      after.delete(keyText(key));
    };
    const revision = last + this.draw(4);
    for (let at = last + 1; at <= revision; at += 1) {
      // What another life wrote of a revision this one may not.
      if (this.random() < 0.3) continue;
      put(this.stub(at));
      put(this.value(GENERATION, at));
    }
    put({ key: stateKey(GENERATION, Buffer.from('kcounter')), value: Buffer.from(`batch ${before + 1}`) });
    for (let at = 1; at <= last; at += 1) {
      if (this.random() > 0.15 || !pairs.has(keyText(this.stub(at).key))) continue;
      remove(this.stub(at).key);
      remove(this.value(GENERATION, at).key);
    }
    for (let at = 1; at <= 3; at += 1) {
      if (this.random() > 0.2) continue;
      const { key, value } = this.value(OTHER, at);
      const removes = othersAfter.has(keyText(key));
      ops.push({ key, value: removes ? null : value });
      if (removes) othersAfter.delete(keyText(key));
      else othersAfter.add(keyText(key));
    }
    ops.push(headOf(before + 1, revision));
    this.models.set(before + 1, { revision, pairs: after, others: othersAfter });
    const half = this.draw(ops.length);
    const sizeBefore = this.values.size;
    this.current().batchOf([ops.slice(0, half), ops.slice(half)], (error) => {
      if (error !== null) throw error;
      this.acknowledged = before + 1;
      if (this.values.size < sizeBefore) this.seen.swept += 1;
    });
  }

  get idle(): boolean {
    return !this.models.has(this.acknowledged + 1);
  }

  /** All that can be seen now is what some batch left, and no older one than was acknowledged. */
  async check(): Promise<void> {
    const store = this.current();
    const { head, reader } = consistentRange(store);
    const present = store.range(presentRange(GENERATION));
    const others = store.range(...generationRanges(OTHER, OTHER));
    const { number, revision } = this.head();
    const model = this.model(head.appliedThrough);
    if (number < this.acknowledged || revision !== this.model(number).revision)
      throw new Error('an old head');
    if (!this.idle) this.seen[number > this.acknowledged ? 'landed' : 'midway'] += 1;
    for (const [key, value] of this.model(number).pairs) {
      const found = store.get(Buffer.from(key, 'latin1'));
      if (found === undefined || keyText(found) !== value) throw new Error(`${key} is not what it was`);
    }
    const ofModel = [...model.pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map((pair) => pair.join(' = '));
    const all = await this.settled(readAll(reader, 1 + this.draw(4)));
    same(all, ofModel, 'a range');
    const stubs = (await this.settled(readPairs(present))).filter(([key]) => /k\d+$/.test(keyText(key)));
    const keys = stubs.map(([key]) => this.value(GENERATION, Number(key.toString('latin1', 6))).key);
    const anew = store.range(presentRange(GENERATION));
    anew.close();
    const wanted = keys.map((key) => this.model(number).pairs.get(keyText(key)));
    const found = await this.settled(
      call<readonly (Buffer | undefined)[]>((done) => present.getMany(keys, done)),
    );
    present.close();
    same(
      found.map((value) => (value === undefined ? 'missing' : keyText(value))),
      wanted.map((value) => value ?? 'not of this batch'),
      'the values of what is present',
    );
    const othersSeen = new Set((await this.settled(readPairs(others))).map(([key]) => keyText(key)));
    for (const key of this.model(number).others)
      if (!othersSeen.has(key)) throw new Error('a value of the other generation is gone');
  }

  /** What no record refers to any more does not stay for ever. */
  checkLeftovers(): void {
    const model = this.model(this.acknowledged);
    const physical = this.values.keys().filter((key) => key.readUInt32BE(1) === GENERATION);
    const left = physical.filter((key) => !model.pairs.has(keyText(key))).length;
    if (left > OUTDATED_MAX + 40) throw new Error(`${left} values are left over`);
  }
}

function headOf(number: number, revision: number): { key: Buffer; value: Buffer } {
  const head = { ...emptyHead(GENERATION), appliedThrough: number, revision };
  return { key: STATE_HEAD_KEY, value: sealStateHead(number + 1, head) };
}

async function readPairs(reader: RangeReader): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (;;) {
    const page = await call<readonly Pair[]>((done) => reader.next(100, done));
    if (page.length === 0) return pairs;
    pairs.push(...page);
  }
}

async function readAll(reader: RangeReader, pageMax: number): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const page = await call<readonly Pair[]>((done) => reader.next(pageMax, done));
    if (page.length > pageMax) throw new Error('more than was asked for');
    if (page.length === 0) break;
    found.push(...page.map(([key, value]) => `${keyText(key)} = ${keyText(value)}`));
  }
  reader.close();
  return found.sort();
}

function same(found: readonly string[], wanted: readonly string[], what: string): void {
  if (found.join('\n') === [...wanted].join('\n')) return;
  throw new Error(`${what}: found\n${found.join('\n')}\nwanted\n${wanted.join('\n')}`);
}

test('a batch is there whole or not at all, through crashes at any point of it, and for readers in the middle of it', async (t) => {
  const first = Number(process.env.SEED ?? 1);
  const seeds = process.env.SEED === undefined ? 250 : 1;
  const seen = { unfinished: 0, swept: 0, midway: 0, landed: 0 };
  for (let seed = first; seed < first + seeds; seed += 1) {
    const random = randomFrom(seed);
    const lives = new Lives(random, seed % 4 === 0);
    try {
      for (let life = 0; life < 6; life += 1) {
        await lives.start();
        await lives.check();
        for (let batch = 0; batch < 6; batch += 1) {
          if (random() < 0.2) lives.current().sweep();
          if (lives.idle) lives.write();
          for (let steps = lives.draw(9); steps > 0; steps -= 1) lives.tasks.step();
          if (random() < 0.3) await lives.check();
        }
        if (lives.idle) lives.checkLeftovers();
        lives.crash();
      }
    } catch (error) {
      t.fail(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    for (const name of ['unfinished', 'swept', 'midway', 'landed'] as const) seen[name] += lives.seen[name];
  }
  t.comment(JSON.stringify(seen));
  if (seeds > 1) for (const [name, count] of Object.entries(seen)) t.ok(count > 20, `${name}: ${count}`);
});

const SMALL = { writeBufferBytes: 128 * 1024, cacheBytes: 0, compression: false };

/** A state on LevelDB whose values take a fraction of the usual room before something is done about it. */
async function openSmall(path: string): Promise<{ store: StateStore; valuesBytes: () => Promise<number> }> {
  const options = { ...SMALL, createIfMissing: true };
  const values = await LevelStore.open(join(path, 'values'), { ...options, tableBytes: 128 * 1024 });
  const store = await StateStore.open({
    mayCreate: true,
    paced: true,
    outdatedMax: 64,
    deadBytesMax: 1024 * 1024,
    hasValues: () => true,
    openRecords: () => LevelStore.open(join(path, 'state'), options),
    openValues: () => Promise.resolve(values),
  });
  return { store, valuesBytes: () => call<number>((done) => values.bytes(null, done)) };
}

test('the room of values that are gone comes back, also of what went before a restart', async (t) => {
  const path = scratch(t);
  const [kept, perBatch, lives, batches] = [200, 25, 3, 40];
  const noise = randomBytes(64 * 1024);
  const keyOf = (revision: number): Buffer => stateKey(GENERATION, valueKey(bytes('key'), revision));
  const goneAt = (revision: number): StoreOp => ({ key: keyOf(revision), value: null, freed: 10_000 });
  let [revision, most] = [0, 0];
  for (let life = 0; life < lives; life += 1) {
    const { store, valuesBytes } = await openSmall(path);
    for (let batch = 0; batch < batches; batch += 1) {
      const ops: StoreOp[] = [];
      for (let i = 0; i < perBatch; i += 1) {
        revision += 1;
        ops.push({
          key: keyOf(revision),
          value: noise.subarray(revision % 1000, (revision % 1000) + 10_000),
        });
        if (revision > kept) ops.push(goneAt(revision - kept));
      }
      ops.push(headOf(batch, revision));
      await call<void>((done) => store.batch(ops, done));
      most = Math.max(most, await valuesBytes());
    }
    await call<void>((done) => store.close(done));
  }
  const written = revision * 10_000;
  t.ok(most < written / 3, `${most} bytes at most of ${written}`);

  // Nothing is written any more: what is left of those that are gone goes all the same.
  const { store, valuesBytes } = await openSmall(path);
  const rest = Array.from({ length: kept }, (_, i) => goneAt(revision - i));
  await call<void>((done) => store.batch(rest, done));
  store.sweep();
  store.sweep();
  await call<void>((done) => store.batch([headOf(batches, revision)], done));
  t.equal((await readPairs(store.range(ALL_VALUES))).length, 0);
  while ((await valuesBytes()) > 500_000) await new Promise((soon) => setTimeout(soon, 20));
  await call<void>((done) => store.close(done));
  const values = await LevelStore.open(join(path, 'values'), { ...SMALL, createIfMissing: false });
  t.equal((await readPairs(values.range(ALL_VALUES))).length, 0, 'and is not only hidden');
  await call<void>((done) => values.close(done));
});

test('values that are all gone are not forgotten: their database must be there', async (t) => {
  const path = scratch(t);
  const { store } = await openSmall(path);
  const [first, second] = [1, 2].map((revision) => stateKey(GENERATION, valueKey(bytes('key'), revision)));
  const value = randomBytes(1000);
  await call<void>((done) =>
    store.batch([{ key: first as Buffer, value }, { key: second as Buffer, value }, headOf(1, 2)], done),
  );
  await call<void>((done) => store.batch([{ key: second as Buffer, value: null }], done));
  store.sweep();
  await call<void>((done) => store.batch([headOf(2, 2)], done));
  await call<void>((done) => store.close(done));
  const asked: boolean[] = [];
  await t.rejects(
    StateStore.open({
      mayCreate: true,
      paced: true,
      outdatedMax: 64,
      deadBytesMax: 1024 * 1024,
      hasValues: () => false,
      openRecords: () =>
        LevelStore.open(join(path, 'state'), {
          createIfMissing: false,
          writeBufferBytes: 65_536,
          cacheBytes: 0,
          compression: false,
        }),
      openValues: (create) => {
        asked.push(create);
        return Promise.reject(new Error('there is none'));
      },
    }),
    /there is none/,
  );
  t.strictSame(asked, [false]);
});

test('a note on what is dead that cannot be read costs nothing; one on the value written last costs the state', async (t) => {
  const path = scratch(t);
  const value = randomBytes(1000);
  const keyOf = (revision: number): Buffer => stateKey(GENERATION, valueKey(bytes('key'), revision));
  const { store } = await openSmall(path);
  await call<void>((done) =>
    store.batch([{ key: keyOf(1), value }, { key: keyOf(2), value }, headOf(1, 2)], done),
  );
  await call<void>((done) => store.batch([{ key: keyOf(1), value: null, freed: 1000 }], done));
  store.sweep();
  await call<void>((done) => store.close(done));
  const damage = async (key: Buffer): Promise<void> => {
    const records = await LevelStore.open(join(path, 'state'), { ...SMALL, createIfMissing: false });
    t.ok(records.get(key), 'it is there');
    await call<void>((done) => records.batch([{ key, value: Buffer.from('nonsense') }], done));
    await call<void>((done) => records.close(done));
  };
  await damage(DEAD_BYTES_KEY);
  const again = await openSmall(path);
  t.ok(again.store.get(keyOf(2)));
  await call<void>((done) => again.store.close(done));

  await damage(LAST_VALUE_KEY);
  await t.rejects(openSmall(path), { kind: 'damaged' } as unknown as Error);
});
