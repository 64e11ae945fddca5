/** Watchers of all keys of a run. Each event is measured from the start of its put, which the value says. */
import type { KvdClient, Watch } from '@kvd/client';
import { unavailable } from '../errors.js';
import { anyAborted } from '../stop.js';
import type { Meter } from './meter.js';
import { stampOf } from './values.js';

export class Watchers {
  /** The last revision that each has seen. */
  private readonly seen: number[] = [];
  private readonly watches: Watch[] = [];
  private acknowledged = 0;
  private wake: () => void = () => undefined;

  /**
   * Resolves once the cluster has taken every one of them, or when `stop` fires.
   * @throws CliError unavailable when it has not within `timeoutMs`; KvdError when it refuses one
   */
  static async open(
    clients: readonly KvdClient[],
    prefix: string,
    count: number,
    meter: Meter,
    stop: AbortSignal,
    timeoutMs: number,
  ): Promise<Watchers> {
    const watchers = new Watchers(meter);
    const late = AbortSignal.timeout(timeoutMs);
    const opened = Array.from({ length: count }, (_, index) => {
      const watch = clients[index % clients.length]?.watch({ prefix });
      if (watch === undefined) return Promise.resolve(0);
      watchers.watches.push(watch);
      void watchers.read(watch, index);
      return watch.started;
    });
    let isOpen = false;
    const all = Promise.all(opened).then(() => {
      isOpen = true;
    });
    await Promise.race([all, anyAborted(stop, late)]);
    if (!isOpen && !stop.aborted) throw unavailable(`not all watches were taken within ${timeoutMs} ms`);
    return watchers;
  }

  private constructor(private readonly meter: Meter) {}

  /** A put was acknowledged: every watcher has to see this revision. */
  expect(revision: number): void {
    if (revision > this.acknowledged) this.acknowledged = revision;
  }

  /** How many have not seen everything yet. */
  get behind(): number {
    return this.watches.filter((_, index) => (this.seen[index] ?? 0) < this.acknowledged).length;
  }

  /** Until all have seen what was acknowledged, at most until `stop` fires; then they are closed. */
  async end(stop: AbortSignal): Promise<void> {
    const stopped = anyAborted(stop);
    while (this.behind > 0 && !stop.aborted) {
      const more = new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      await Promise.race([more, stopped]);
    }
    for (const watch of this.watches) watch.close();
  }

  private async read(watch: Watch, index: number): Promise<void> {
    try {
      for await (const { events, revision } of watch.batches()) {
        const nowMs = performance.now();
        for (const { value } of events)
          if (value !== undefined) this.meter.succeeded('event', stampOf(value), nowMs);
        this.seen[index] = revision;
        this.wake();
      }
    } catch (error) {
      this.meter.failed('event', performance.now(), error);
    }
  }
}
