/** What is there before the measurement and gone after it. */
import type { KvdClient } from '@kvd/client';
import type { KeySpace } from './keys.js';
import type { Values } from './values.js';

const IN_FLIGHT_MAX = 1_024;
const IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024;
/** Keys that are deleted as one mutation: while replicas do it, nobody else gets an answer. */
const DELETED_AT_ONCE = 1_000;

/** Put every key; ends early when `stop` fires. @throws KvdError the first of a put that failed */
export async function loadRecords(
  clients: readonly KvdClient[],
  keys: KeySpace,
  values: Values,
  stop: AbortSignal,
  onLoaded: () => void,
): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (client: KvdClient): Promise<void> => {
    while (next < keys.loaded && !failed && !stop.aborted) {
      try {
        await client.put(keys.name(next++), values.next());
      } catch (error) {
        failed = true;
        throw error;
      }
      onLoaded();
    }
  };
  const inFlight = Math.min(IN_FLIGHT_MAX, Math.ceil(IN_FLIGHT_BYTES_MAX / (values.bytes + 1)));
  const lanes = clients.flatMap((client, index) =>
    Array.from({ length: Math.max(index === 0 ? 1 : 0, Math.floor(inFlight / clients.length)) }, () =>
      lane(client),
    ),
  );
  const ended = await Promise.allSettled(lanes);
  for (const outcome of ended) if (outcome.status === 'rejected') throw outcome.reason;
}

/** Delete the keys of the run, inserted ones too. */
export async function removeRecords(
  client: KvdClient,
  keys: KeySpace,
  onRemoved: (count: number) => void,
): Promise<void> {
  for (let from = 0; from < keys.end; from += DELETED_AT_ONCE) {
    const to = Math.min(keys.end, from + DELETED_AT_ONCE);
    await client.deleteRange({ from: keys.name(from), to: keys.name(to) });
    onRemoved(to - from);
  }
}
