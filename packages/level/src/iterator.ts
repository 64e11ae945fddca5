/** The iterator over entries: abstract-level's bookkeeping round a Cursor. Those over keys and values wrap this one. */
import type { Entry } from '@kvd/client';
import { AbstractIterator, type AbstractIteratorOptions, type AbstractLevel } from 'abstract-level';
import { type Format, fromBytes, type Stored } from './bytes.js';
import type { Cursor } from './cursor.js';
import type { Bounds, Keyspace } from './keyspace.js';

/** What the user gave, as abstract-level hands it on. */
export interface EncodedIteratorOptions extends Bounds {
  readonly keys: boolean;
  readonly values: boolean;
  readonly reverse: boolean;
  /** -1: none. */
  readonly limit: number;
  readonly keyEncoding: Format;
  readonly valueEncoding: Format;
  readonly snapshot?: unknown;
  readonly signal?: AbortSignal;
}

type Item = [key: Stored | undefined, value: Stored | undefined];

export class KvdIterator<K, V> extends AbstractIterator<AbstractLevel<Stored, K, V>, K, V> {
  readonly #cursor: Cursor;
  readonly #space: Keyspace;
  readonly #options: EncodedIteratorOptions;

  constructor(
    database: AbstractLevel<Stored, K, V>,
    options: EncodedIteratorOptions,
    cursor: Cursor,
    space: Keyspace,
  ) {
    super(database, options as AbstractIteratorOptions<K, V>);
    this.#cursor = cursor;
    this.#space = space;
    this.#options = options;
  }

  async _next(): Promise<Item | undefined> {
    const [entry] = await this.#cursor.take(1);
    return entry && this.#toItem(entry);
  }

  async _nextv(size: number): Promise<Item[]> {
    return (await this.#cursor.take(size)).map(this.#toItem);
  }

  _all(): Promise<Item[]> {
    return this._nextv(Number.POSITIVE_INFINITY);
  }

  _seek(target: Stored): void {
    this.#cursor.seek(this.#space.locate(target));
  }

  readonly #toItem = (entry: Entry): Item => {
    const { keys, values, keyEncoding, valueEncoding } = this.#options;
    return [
      keys ? fromBytes(this.#space.strip(entry.keyBytes), keyEncoding) : undefined,
      values ? fromBytes(entry.value, valueEncoding) : undefined,
    ];
  };
}
