/**
 * The verification of a data directory's parts, in terms of opened stores: a child process runs it on LevelDB
 * (verify-main.ts), the simulator on the memory twin.
 */
import type { Done } from '@kvd/replica';
import { asStoreError } from './errors.js';
import type { OrderedStore } from './ordered-store.js';
import type { SideFile } from './side-file.js';
import { loadState, scrubState } from './state-loader.js';
import { verifyLog } from './verify.js';

export function verifyLogPart(store: OrderedStore, side: Pick<SideFile, 'read'>, done: Done<void>): void {
  let acknowledged: number;
  try {
    acknowledged = side.read();
  } catch (error) {
    store.defer(() => done(asStoreError(error), undefined));
    return;
  }
  verifyLog(store, acknowledged, (error) => done(error, undefined));
}

/** `whole`: every record and the content hash too, which takes as long as the state is large. */
export function verifyStatePart(store: OrderedStore, whole: boolean, done: Done<void>): void {
  loadState(store, (error) => {
    if (error !== null || !whole) return done(error, undefined);
    scrubState(store, done);
  });
}
