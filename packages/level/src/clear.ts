/** Deleting key by key, where one range deletion cannot say what is meant, or would be too much for one command. */
import type { Entry } from '@kvd/client';
import { TXN_OPERATIONS_MAX } from '@kvd/protocol';
import type { Write } from './remote.js';

/** Well below what a transaction may have in all. */
const KEY_BYTES_IN_ONE = 1024 * 1024;

/** In transactions as large as they may be, one after another: each is atomic, the whole is not. */
export async function clearOneByOne(
  entries: AsyncIterable<Entry>,
  write: (writes: readonly Write[]) => Promise<void>,
): Promise<void> {
  let writes: Write[] = [];
  let bytes = 0;
  for await (const { keyBytes } of entries) {
    if (writes.length === TXN_OPERATIONS_MAX || bytes + keyBytes.length > KEY_BYTES_IN_ONE) {
      await write(writes);
      writes = [];
      bytes = 0;
    }
    writes.push({ key: keyBytes, value: null });
    bytes += keyBytes.length;
  }
  if (writes.length > 0) await write(writes);
}
