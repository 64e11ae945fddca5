/** Were writes through a lock made by its holder only? From the history, which says whose turn it was at each of them. */
import type { HistoryRevision } from '@kvd/client';

export interface GuardedWrites {
  readonly writes: number;
  /** Different holders that wrote. */
  readonly tokens: number;
  /** The first write by another than the holder; null: there is none. */
  readonly wrong: string | null;
}

/**
 * `queue`: the prefix of the contenders' keys; the one with the oldest has the lock, and the revision that created its
 * key is its token. `key`: what holders write; values begin with the writer's token.
 */
export async function guardedWrites(
  history: AsyncIterable<HistoryRevision>,
  queue: string,
  key: string,
): Promise<GuardedWrites> {
  const contenders = new Map<string, number>();
  const tokens = new Set<number>();
  let writes = 0;
  let wrong: string | null = null;
  for await (const { revision, events } of history) {
    const holder = Math.min(...contenders.values());
    for (const event of events) {
      const name = event.keyText();
      if (name.startsWith(queue)) {
        if (event.type === 'put') contenders.set(name, event.createRevision);
        else contenders.delete(name);
      } else if (name === key) {
        const token = Number(event.text().split(' ')[0]);
        writes += 1;
        tokens.add(token);
        if (token !== holder)
          wrong ??= `the write of revision ${revision} carries token ${token}, the holder's was ${holder}`;
      }
    }
  }
  return { writes, tokens: tokens.size, wrong };
}
