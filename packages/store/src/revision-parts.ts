/**
 * What revisions did from a place in the history on, as parts in their order: from disk and then from memory, both as they
 * were when the reading began. The first parts may lie before the place, and what was on its way to the disk may come
 * twice; who reads goes by the revisions.
 */
import type { HistoryPosition } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import type { HistoryBuffer } from './history-buffer.js';
import { decodeRevisions, type RevisionPart, revisionKey } from './history-records.js';
import type { OrderedStore, Pair, RangeReader } from './ordered-store.js';
import { unseal } from './sealed.js';
import { KIND_REVISION, PREFIX_BYTES, stateKey } from './state-records.js';

const DISK_PAGE = 128;

/** False: enough. May throw. */
type Visit = (part: RevisionPart) => boolean;

export class RevisionParts {
  /** The last record that begins at or before the place. */
  private readonly first: RangeReader;
  private readonly rest: RangeReader;
  private readonly memory: readonly (() => readonly RevisionPart[])[];

  constructor(store: OrderedStore, generation: number, history: HistoryBuffer, start: HistoryPosition) {
    const split = stateKey(generation, revisionKey(start.revision, start.index + 1));
    // A flush may reach the disk between any two of these lines, for another thread writes it. What comes later in the
    // history is looked for first: so what the earlier reader missed, the later one sees, and what a flush wrote after
    // both is in memory still. The other way round the record of the place itself could be in neither.
    this.rest = store.range({ gte: split, lt: stateKey(generation, Buffer.of(KIND_REVISION + 1)) });
    this.first = store.range({ gte: stateKey(generation, revisionKey(0)), lt: split, reverse: true });
    this.memory = history.revisionsFrom(start.revision);
  }

  /** Once; an error that `visit` throws ends it. */
  read(visit: Visit, done: Done<void>): void {
    this.first.next(1, (error, pairs) => {
      this.first.close();
      if (this.visitAll(error, pairs, visit, done)) this.readRest(visit, done);
    });
  }

  close(): void {
    this.first.close();
    this.rest.close();
  }

  private readRest(visit: Visit, done: Done<void>): void {
    this.rest.next(DISK_PAGE, (error, pairs) => {
      if (!this.visitAll(error, pairs, visit, done)) return;
      if (pairs.length > 0) return this.readRest(visit, done);
      this.rest.close();
      try {
        this.visitMemory(visit);
      } catch (thrown) {
        return done(thrown as Error, undefined);
      }
      done(null, undefined);
    });
  }

  private visitMemory(visit: Visit): void {
    for (const parts of this.memory) for (const part of parts()) if (!visit(part)) return;
  }

  /** False: it has ended. */
  private visitAll(error: Error | null, pairs: readonly Pair[], visit: Visit, done: Done<void>): boolean {
    try {
      if (error !== null) throw error;
      for (const [diskKey, sealed] of pairs) {
        const logical = diskKey.subarray(PREFIX_BYTES);
        for (const part of decodeRevisions(logical, unseal(logical, sealed).body)) {
          if (visit(part)) continue;
          this.rest.close();
          done(null, undefined);
          return false;
        }
      }
      return true;
    } catch (thrown) {
      this.rest.close();
      done(thrown as Error, undefined);
      return false;
    }
  }
}
