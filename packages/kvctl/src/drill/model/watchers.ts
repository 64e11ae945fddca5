/**
 * Watchers of all keys from the first revision on, for as long as a drill lasts. One sits at each replica (server-sent
 * events) and goes to the next one when its replica dies; one is @kvd/client's own, which goes where its client goes.
 */
import { connect, type KvdClient, KvdError, type Watch, type WatchEvent } from '@kvd/client';
import { Sighting } from './sighting.js';
import { StreamWatcher } from './stream-watcher.js';

/** A watcher of either kind. */
export interface DrillWatcher {
  /** For people: which one it is. */
  readonly name: string;
  readonly sighting: Sighting;
  /** How often it went on at another replica, or anew at the same; null: its client does not say. */
  readonly moves: number | null;
  /** What ended it, or was wrong at once. */
  readonly failure: string | null;
  close(): Promise<void>;
}

export interface Watchers {
  /** The first began at replica 1, and so on. */
  readonly streams: readonly StreamWatcher[];
  readonly client: DrillWatcher;
}

/** @throws KvdError when no replica answers */
export async function openWatchers(endpoints: readonly string[], connectMs: number): Promise<Watchers> {
  const client = await connect({ endpoints, name: 'watcher', connectTimeoutMs: connectMs });
  return {
    streams: endpoints.map((_, index) => new StreamWatcher(endpoints, index)),
    client: new ClientWatcher(client),
  };
}

class ClientWatcher implements DrillWatcher {
  readonly name = 'the watcher of @kvd/client';
  readonly sighting = new Sighting();
  readonly moves = null;
  failure: string | null = null;
  private readonly watch: Watch;
  private readonly done: Promise<void>;

  constructor(private readonly client: KvdClient) {
    this.watch = client.watch({ prefix: '', fromRevision: 1 });
    this.done = this.read();
  }

  async close(): Promise<void> {
    this.watch.close();
    await this.done;
    await this.client.close();
  }

  private async read(): Promise<void> {
    try {
      for await (const { previousRevision, events } of this.watch.batches()) {
        const { last } = this.sighting;
        // What every batch says of the one before is there to prove that nothing is missing: so it must fit.
        if (previousRevision !== last)
          this.failure ??= `a batch says that revision ${previousRevision} came before it, but that was ${last}`;
        for (const event of events) this.sighting.add(seen(event));
      }
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      this.failure ??= `${error.code} ${error.message}`;
    }
  }
}

/** An event of a watch or of the history. */
export function seen(event: WatchEvent) {
  const { type, createRevision, modRevision, version } = event;
  return { type, key: event.keyText(), value: event.text(), createRevision, modRevision, version };
}
