/**
 * A lease with two keys that is kept alive once and then left alone, and when it ended as a watcher saw it, by the
 * monotonic clock of this process, which no drill touches.
 */
import { type KvdClient, KvdError } from '@kvd/client';

/** How late it may end: there has to be a leader, and a busy machine has to get to it. */
const LATE_MS_MAX = 30_000;
/** The cluster's clock moves in ticks of 20 ms, one of which may come right after the request was sent. */
const TICK_MS = 20;

export interface LeaseEnd {
  readonly ok: boolean;
  /** For people: what was found. */
  readonly detail: string;
}

export class AbandonedLease {
  private endedMs = Number.POSITIVE_INFINITY;
  /** Deletions of its keys, by revision. */
  private readonly deletions: number[] = [];
  private readonly stop = new AbortController();

  private constructor(
    private readonly kv: KvdClient,
    private readonly id: number,
    private readonly ttlMs: number,
    /** Before the grant, or the keep-alive, was sent: what the cluster counts begins later. */
    private heldFromMs: number,
  ) {}

  /** With its keys under `prefix`, tried again where this machine was too slow for it. @throws KvdError */
  static async grant(kv: KvdClient, prefix: string, ttlMs: number): Promise<AbandonedLease> {
    for (;;) {
      const fromRevision = (await kv.revision()) + 1;
      const sentMs = performance.now();
      const { id } = await kv.lease.grant({ ttlMs });
      const lease = new AbandonedLease(kv, id, ttlMs, sentMs);
      void lease.watch(prefix, fromRevision);
      try {
        for (const key of ['a', 'b']) await kv.put(prefix + key, '', { lease: id });
        return lease;
      } catch (error) {
        lease.stop.abort();
        const isOver = error instanceof KvdError && error.code === 'KVD_LEASE_NOT_FOUND';
        if (!isOver || performance.now() - sentMs < ttlMs) throw error;
      }
    }
  }

  /** Once. It may be over where this machine was too slow; whether that was its time, end() says. */
  async keepAlive(): Promise<void> {
    const sentMs = performance.now();
    try {
      await this.kv.lease.keepAlive(this.id);
      this.heldFromMs = sentMs;
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
    }
  }

  /** Resolves when its keys are gone, or should have been for long. */
  async end(): Promise<LeaseEnd> {
    const leftMs = this.heldFromMs + this.ttlMs + LATE_MS_MAX - performance.now();
    const timer = setTimeout(() => this.stop.abort(), Math.max(0, leftMs));
    if (!this.stop.signal.aborted)
      await new Promise((resolve) => this.stop.signal.addEventListener('abort', resolve, { once: true }));
    clearTimeout(timer);
    return this.judge();
  }

  private judge(): LeaseEnd {
    const livedMs = Math.round(this.endedMs - this.heldFromMs);
    const [first, second] = this.deletions;
    if (first === undefined)
      return { ok: false, detail: `not ended ${LATE_MS_MAX} ms after its ${this.ttlMs} ms were over` };
    const together = first === second ? 'its keys in one revision' : 'its keys in different revisions';
    const detail = `a lease of ${this.ttlMs} ms ended ${livedMs} ms after it was kept alive last, ${together}`;
    return { ok: livedMs >= this.ttlMs - TICK_MS && first === second, detail };
  }

  private async watch(prefix: string, fromRevision: number): Promise<void> {
    const { signal } = this.stop;
    try {
      for await (const event of this.kv.watch({ prefix, fromRevision, signal })) {
        if (event.type !== 'delete') continue;
        this.endedMs = Math.min(this.endedMs, performance.now());
        this.deletions.push(event.modRevision);
        if (this.deletions.length === 2) this.stop.abort();
      }
    } catch (error) {
      // Aborted, or the client was closed: there is nothing more to see.
      if (!(error instanceof KvdError)) throw error;
    }
  }
}
