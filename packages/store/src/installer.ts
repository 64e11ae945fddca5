/**
 * Puts a snapshot on disk beside the present state, under a generation of its own, and checks it record by record and
 * as a whole. Only the last step, which is KvState's, makes it the state (S10).
 */
import type { Slot } from '@kvd/paxos';
import type { Done, SnapshotInstaller } from '@kvd/replica';
import { asStoreError, damaged } from './errors.js';
import type { OrderedStore, StoreOp } from './ordered-store.js';
import { decodeChunk, type SnapshotItem } from './snapshot.js';
import { StateRecords } from './state-loader.js';
import { type StateHead, stateKey } from './state-records.js';

/** The owner's part: makes what was installed the state, or removes it. */
export interface InstallTarget {
  readonly store: OrderedStore;
  commit(head: StateHead, records: StateRecords, done: Done<void>): void;
  discard(generation: number): void;
}

export class StateInstaller implements SnapshotInstaller {
  private readonly target: InstallTarget;
  private readonly generation: number;
  private readonly records = new StateRecords();
  private head: StateHead | null = null;
  private count = 0;
  private through = false;
  private failure: Error | null = null;
  private ended = false;
  private writing = false;

  constructor(target: InstallTarget, generation: number) {
    this.target = target;
    this.generation = generation;
  }

  write(chunk: Uint8Array, done: Done<void>): void {
    const { store } = this.target;
    const ops: StoreOp[] = [];
    try {
      if (this.ended) throw damaged('the installation has ended');
      if (this.failure === null) for (const item of decodeChunk(chunk)) this.take(item, ops);
    } catch (error) {
      this.failure = asStoreError(error);
    }
    if (this.failure !== null || ops.length === 0) {
      store.defer(() => done(this.failure, undefined));
      return;
    }
    this.writing = true;
    store.batch(ops, (error) => {
      this.writing = false;
      this.failure ??= error;
      if (this.ended) this.target.discard(this.generation);
      done(error, undefined);
    });
  }

  finish(slot: Slot, done: Done<void>): void {
    const fail = (error: Error): void => {
      this.abort();
      this.target.store.defer(() => done(error, undefined));
    };
    if (this.failure !== null) return fail(this.failure);
    if (this.ended) return fail(damaged('the installation has ended'));
    const { head } = this;
    if (head === null || !this.through) return fail(damaged('the snapshot is cut short'));
    if (head.appliedThrough !== slot) {
      return fail(damaged(`the snapshot is of slot ${head.appliedThrough}, not ${slot}`));
    }
    try {
      this.records.check(head);
      this.records.finish();
    } catch (error) {
      return fail(asStoreError(error));
    }
    this.ended = true;
    this.target.commit({ ...head, generation: this.generation }, this.records, (error) => {
      if (error !== null) this.target.discard(this.generation);
      done(error, undefined);
    });
  }

  abort(): void {
    if (this.ended) return;
    this.ended = true;
    // What is on its way to the disk would not be seen yet.
    if (!this.writing) this.target.discard(this.generation);
  }

  private take(item: SnapshotItem, ops: StoreOp[]): void {
    if (this.through) throw damaged('the snapshot goes on after its end');
    if ((this.head === null) !== (item.type === 'head'))
      throw damaged('a snapshot begins with its head, and has one');
    switch (item.type) {
      case 'head':
        this.head = item.head;
        return;
      case 'record':
        this.records.add(item.key, item.record);
        this.count += 1;
        ops.push({ key: stateKey(this.generation, item.key), value: item.record });
        return;
      case 'end':
        if (item.records !== this.count)
          throw damaged(`${item.records} records were sent, ${this.count} arrived`);
        this.through = true;
        return;
    }
  }
}
