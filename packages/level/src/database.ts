/**
 * The database: abstract-level's private methods (https://github.com/Level/abstract-level, "Private API") on a Remote.
 * Every read of more than one answer is made at one revision, which is what makes snapshots out of it.
 */
import type { ConnectOptions } from '@kvd/client';
import { checkValue } from '@kvd/protocol';
import { isUint8Array } from 'node:util/types';
import { type AbstractDatabaseOptions, AbstractLevel } from 'abstract-level';
import { type Format, fromBytes, type Stored, toBytes } from './bytes.js';
import { clearOneByOne } from './clear.js';
import { Cursor } from './cursor.js';
import { LevelError } from './errors.js';
import { type EncodedIteratorOptions, KvdIterator } from './iterator.js';
import { type Bounds, isEmpty, Keyspace } from './keyspace.js';
import { OperationOrder } from './operation-order.js';
import { Remote, type Write } from './remote.js';
import { KvdSnapshot } from './snapshot.js';

/**
 * `endpoints`, time-outs and limits as for connect() of @kvd/client. Reads are always linearizable.
 */
export interface KvdLevelOptions<K = string, V = string>
  extends Omit<ConnectOptions, 'consistency' | 'signal'>,
    Pick<AbstractDatabaseOptions<K, V>, 'keyEncoding' | 'valueEncoding'> {
  /**
   * What all keys of the database begin with in the cluster; text (UTF-8) or bytes, less than 4 KiB. Default: nothing,
   * and then every key in the cluster is the database's. Databases share a cluster when none's prefix begins with
   * another's: end them alike, as in 'users/' and 'orders/'.
   */
  readonly prefix?: string | Uint8Array;
}

/** Reads of a getMany() under way at once. */
const READ_AT_ONCE = 1_024;

interface ReadOptions {
  readonly valueEncoding: Format;
  readonly snapshot?: unknown;
}

interface ClearOptions extends Bounds {
  readonly reverse: boolean;
  /** -1: none. */
  readonly limit: number;
  readonly snapshot?: unknown;
}

type BatchOperation =
  | { readonly type: 'put'; readonly key: Stored; readonly value: Stored }
  | { readonly type: 'del'; readonly key: Stored };

/**
 * An abstract-level database on a kvd cluster. Opens and connects by itself.
 *
 *     const db = new KvdLevel({ endpoints: ['127.0.0.1:15000', '127.0.0.1:15001'], prefix: 'app/' });
 *     await db.put('a', '1');
 *     for await (const [key, value] of db.iterator({ gte: 'a' })) console.log(key, value);
 *     await db.close();
 *
 * What it does beyond abstract-level's contract, its limits and its errors: docs/API.md.
 */
export class KvdLevel<K = string, V = string> extends AbstractLevel<Stored, K, V> {
  readonly #connectOptions: ConnectOptions;
  readonly #space: Keyspace;
  readonly #order = new OperationOrder();
  #remote: Remote | null = null;

  constructor(options: KvdLevelOptions<K, V>) {
    if (typeof options !== 'object' || options === null || options.endpoints === undefined)
      throw new TypeError('endpoints: give at least one HOST:PORT');
    const { endpoints, prefix = '', ...others } = options;
    super(
      {
        encodings: { utf8: true, buffer: true, view: true },
        has: true,
        implicitSnapshots: true,
        explicitSnapshots: true,
        permanence: true,
        signals: { iterators: true },
      },
      // Hooks are told of every option but of where the database is.
      others,
    );
    this.#connectOptions = { name: 'kvd-level', ...others, endpoints };
    if (typeof prefix !== 'string' && !isUint8Array(prefix))
      throw new TypeError('prefix: a string or a Uint8Array');
    this.#space = new Keyspace(toBytes(prefix));
  }

  async _open(options: { createIfMissing: boolean; errorIfExists: boolean }): Promise<void> {
    if (!options.createIfMissing || options.errorIfExists) {
      const message =
        'a database on a cluster is neither created nor missing: createIfMissing, errorIfExists';
      throw new LevelError('LEVEL_NOT_SUPPORTED', message);
    }
    this.#remote = await Remote.connect(this.#connectOptions);
  }

  async _close(): Promise<void> {
    await this.#order.idle();
    await this.#remote?.close();
    this.#remote = null;
  }

  async _get(key: Stored, { valueEncoding, snapshot }: ReadOptions): Promise<Stored | undefined> {
    const remote = this.#connected();
    const at = this.#space.key(key);
    const value = await this.#readOne(snapshot, (revision) => remote.get(at, revision));
    return value && fromBytes(value, valueEncoding);
  }

  async _getMany(keys: Stored[], { valueEncoding, snapshot }: ReadOptions): Promise<(Stored | undefined)[]> {
    const remote = this.#connected();
    const values = await this.#readMany(keys, snapshot, (key, revision) => remote.get(key, revision));
    return values.map((value) => value && fromBytes(value, valueEncoding));
  }

  async _has(key: Stored, { snapshot }: Pick<ReadOptions, 'snapshot'>): Promise<boolean> {
    const remote = this.#connected();
    const at = this.#space.key(key);
    return this.#readOne(snapshot, (revision) => remote.has(at, revision));
  }

  async _hasMany(keys: Stored[], { snapshot }: Pick<ReadOptions, 'snapshot'>): Promise<boolean[]> {
    const remote = this.#connected();
    return this.#readMany(keys, snapshot, (key, revision) => remote.has(key, revision));
  }

  async _put(key: Stored, value: Stored): Promise<void> {
    await this.#write([this.#toWrite({ type: 'put', key, value })]);
  }

  async _del(key: Stored): Promise<void> {
    await this.#write([this.#toWrite({ type: 'del', key })]);
  }

  /** One transaction, in which a key is changed at most once: of several operations on a key, the last is what counts. */
  async _batch(operations: BatchOperation[]): Promise<void> {
    const writes = new Map<string, Write>();
    for (const operation of operations) {
      const write = this.#toWrite(operation);
      writes.set(Buffer.from(write.key).toString('latin1'), write);
    }
    await this.#write([...writes.values()]);
  }

  async _clear({ snapshot, reverse, limit, ...bounds }: ClearOptions): Promise<void> {
    const remote = this.#connected();
    const range = this.#space.range(bounds);
    if (isEmpty(range)) return;
    await this.#order.track(async () => {
      const whole = limit < 0 && !isGiven(snapshot);
      if (whole && (await this.#order.write(() => remote.deleteRange(range)))) return;
      const at = await this.#revision(snapshot);
      const entries = remote.scan({ range, at, reverse, keysOnly: true, limit: toLimit(limit) });
      await clearOneByOne(entries, (writes) => this.#write(writes));
    });
  }

  _iterator(options: EncodedIteratorOptions): KvdIterator<K, V> {
    const { reverse, limit, values, signal, snapshot } = options;
    const range = this.#space.range(options);
    const order = { reverse, keysOnly: !values, limit: toLimit(limit), signal };
    const cursor = new Cursor(this.#connected(), this.#revision(snapshot, signal), { range, ...order });
    return new KvdIterator(this, options, cursor, this.#space);
  }

  _snapshot(options: { owner: unknown }): KvdSnapshot {
    return new KvdSnapshot(options, this, this.#revision(undefined));
  }

  /** That of the snapshot, else the present one, which later writes of this database will not be in. */
  async #revision(snapshot: unknown, signal?: AbortSignal): Promise<number> {
    if (isGiven(snapshot)) return KvdSnapshot.revisionOf(snapshot, this);
    const remote = this.#connected();
    return this.#order.read(() => remote.revision(signal));
  }

  #readOne<T>(snapshot: unknown, read: (revision: number | undefined) => Promise<T>): Promise<T> {
    if (!isGiven(snapshot)) return this.#order.read(() => read(undefined));
    return this.#order.track(async () => read(await KvdSnapshot.revisionOf(snapshot, this)));
  }

  /** All at one revision. */
  #readMany<T>(
    keys: readonly Stored[],
    snapshot: unknown,
    read: (key: Uint8Array, revision: number) => Promise<T>,
  ): Promise<T[]> {
    const located = keys.map((key) => this.#space.key(key));
    return this.#order.track(async () => {
      const revision = await this.#revision(snapshot);
      const values: T[] = [];
      // No more at once than a client takes.
      for (let at = 0; at < located.length; at += READ_AT_ONCE) {
        const page = located.slice(at, at + READ_AT_ONCE);
        values.push(...(await Promise.all(page.map((key) => read(key, revision)))));
      }
      return values;
    });
  }

  #write(writes: readonly Write[]): Promise<void> {
    const remote = this.#connected();
    return this.#order.write(() => remote.write(writes));
  }

  /** @throws LevelError LEVEL_INVALID_KEY, LEVEL_INVALID_VALUE */
  #toWrite(operation: BatchOperation): Write {
    const key = this.#space.key(operation.key);
    if (operation.type === 'del') return { key, value: null };
    const value = toBytes(operation.value);
    try {
      checkValue(value);
    } catch (error) {
      throw new LevelError('LEVEL_INVALID_VALUE', (error as Error).message, error);
    }
    return { key, value };
  }

  #connected(): Remote {
    if (this.#remote === null) throw new LevelError('LEVEL_DATABASE_NOT_OPEN', 'Database is not open');
    return this.#remote;
  }
}

function isGiven(snapshot: unknown): boolean {
  return snapshot !== undefined && snapshot !== null;
}

function toLimit(limit: number): number {
  return limit < 0 ? Number.POSITIVE_INFINITY : limit;
}
