/** Reads a state that is in two databases, as both were at one moment (state-store.ts). */
import type { Done } from '@kvd/replica';
import { keyText } from './bytes.js';
import { asStoreError } from './errors.js';
import type { Pair, RangeReader } from './ordered-store.js';
import { isOutdatedKey, isValueKey, valueOfOutdated } from './state-records.js';

const OUTDATED_PAGE = 1024;

export class StateReader implements RangeReader {
  /** Values that are on their way out, and not to be seen. They come with the records, before the values. */
  private readonly outdated = new Set<string>();
  private recordsRead = false;

  /** `values`: null where no record refers to any. `hasOldValues`: values may be among the records. */
  constructor(
    private readonly records: RangeReader,
    private readonly values: RangeReader | null,
    private readonly hasOldValues: boolean,
  ) {}

  next(pairsMax: number, done: Done<readonly Pair[]>): void {
    const source = this.recordsRead ? this.values : this.records;
    if (source === null) return this.records.next(pairsMax, done);
    // They are the last of the records, and none of them is shown.
    const pageMax = source === this.records && this.outdated.size > 0 ? OUTDATED_PAGE : pairsMax;
    source.next(pageMax, (error, pairs) => {
      if (error !== null) return done(error, []);
      if (pairs.length === 0 && source === this.records && this.values !== null) {
        this.recordsRead = true;
        return this.next(pairsMax, done);
      }
      let shown: readonly Pair[];
      try {
        shown = pairs.filter((pair) => this.isShown(pair));
      } catch (thrown) {
        return done(asStoreError(thrown), []);
      }
      if (shown.length === 0 && pairs.length > 0) this.next(pairsMax, done);
      else done(null, shown);
    });
  }

  getMany(keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void {
    const { values } = this;
    if (values === null) return this.records.getMany(keys, done);
    const ofValues = keys.filter((key) => isValueKey(key));
    values.getMany(ofValues, (error, found) => {
      if (error !== null) return done(error, []);
      const inValues = new Map(ofValues.map((key, i) => [key, found[i]]));
      const rest = keys.filter((key) => inValues.get(key) === undefined && this.mayBeRecord(key));
      if (rest.length === 0) {
        return done(
          null,
          keys.map((key) => inValues.get(key)),
        );
      }
      this.records.getMany(rest, (failure, others) => {
        const inRecords = new Map(rest.map((key, i) => [key, others[i]]));
        done(failure, failure === null ? keys.map((key) => inValues.get(key) ?? inRecords.get(key)) : []);
      });
    });
  }

  close(): void {
    this.records.close();
    this.values?.close();
  }

  private mayBeRecord(key: Buffer): boolean {
    return this.hasOldValues || !isValueKey(key);
  }

  private isShown([key, record]: Pair): boolean {
    if (isOutdatedKey(key)) {
      this.outdated.add(keyText(valueOfOutdated(key, record)));
      return false;
    }
    return !isValueKey(key) || !this.outdated.has(keyText(key));
  }
}
