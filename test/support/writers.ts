/**
 * Clients that write without pause while a test breaks things, and the proof afterwards: every acknowledged write is
 * read back from every replica, and none was applied twice. Each writer has keys of its own and writes a new value
 * every time, so a key's version counts exactly how often it was written.
 */
import { connect, type KvdClient, KvdError } from '@kvd/client';
import type { Test } from 'tap';
import type { TestCluster } from './cluster.js';

const KEYS_PER_WRITER = 25;
/** The client itself retries so long; only then would a writer see an error. */
const PATIENCE_MS = 30_000;

interface Written {
  acknowledged: number;
  unknown: number;
  /** Of the last write that was acknowledged. */
  value: string;
  /** Values that may stand there instead: written with an unknown outcome after it. */
  maybe: string[];
}

export class Writers {
  /** When each acknowledgement came, on performance.now(). */
  readonly acknowledgedAt: number[] = [];
  readonly errors: string[] = [];
  private readonly written = new Map<string, Written>();
  private readonly loops: Promise<void>[] = [];
  private stopping = false;

  constructor(
    private readonly cluster: TestCluster,
    count: number,
  ) {
    for (let writer = 0; writer < count; writer++) this.loops.push(this.write(writer));
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.loops);
  }

  /** The first acknowledgement after `sinceMs`. */
  firstAfter(sinceMs: number): number | undefined {
    // The newest are at the end, and the one looked for is near it.
    let found: number | undefined;
    for (let i = this.acknowledgedAt.length - 1; i >= 0; i--) {
      const at = this.acknowledgedAt[i] as number;
      if (at <= sinceMs) break;
      found = at;
    }
    return found;
  }

  /** Acknowledgements in each stretch of `stretchMs` from the first on. */
  perStretch(fromMs: number, toMs: number, stretchMs: number): number[] {
    const counts = Array.from({ length: Math.floor((toMs - fromMs) / stretchMs) }, () => 0);
    for (const at of this.acknowledgedAt) {
      const stretch = Math.floor((at - fromMs) / stretchMs);
      if (stretch >= 0 && stretch < counts.length) counts[stretch] = (counts[stretch] as number) + 1;
    }
    return counts;
  }

  /** Read everything back through each of these replicas, one at a time. Returns what is wrong, for people. */
  async audit(ids: readonly number[] = this.cluster.ids): Promise<string[]> {
    const wrong: string[] = [];
    for (const id of ids) {
      const kv = await connect({ endpoints: [this.cluster.address(id)] });
      for (const [key, written] of this.written) {
        const entry = await kv.get(key, { timeoutMs: PATIENCE_MS });
        const value = entry?.text() ?? '';
        if (value !== written.value && !written.maybe.includes(value)) {
          wrong.push(`replica ${id}: ${key} is '${value}', acknowledged was '${written.value}'`);
        }
        const version = entry?.version ?? 0;
        if (version < written.acknowledged || version > written.acknowledged + written.unknown) {
          wrong.push(
            `replica ${id}: ${key} was written ${version} times, acknowledged ${written.acknowledged}`,
          );
        }
      }
      await kv.close();
    }
    return wrong;
  }

  private async write(writer: number): Promise<void> {
    const kv = await connect({ endpoints: this.cluster.endpoints, timeoutMs: PATIENCE_MS });
    for (let n = 0; !this.stopping; n++)
      await this.put(kv, `w${writer}/${n % KEYS_PER_WRITER}`, `value ${n}`);
    await kv.close();
  }

  private async put(kv: KvdClient, key: string, value: string): Promise<void> {
    const written = this.written.get(key) ?? { acknowledged: 0, unknown: 0, value: '', maybe: [] };
    this.written.set(key, written);
    try {
      await kv.put(key, value, { timeoutMs: PATIENCE_MS });
      this.acknowledgedAt.push(performance.now());
      written.acknowledged += 1;
      written.value = value;
      written.maybe = [];
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      this.errors.push(`${error.code}: ${error.message}`);
      if (error.outcome === 'not-done') return;
      written.unknown += 1;
      written.maybe.push(value);
    }
  }
}

/** Stop writing, and prove that nothing was lost or repeated and that these replicas hold the same. */
export async function assertNothingLost(
  t: Test,
  cluster: TestCluster,
  writers: Writers,
  ids: readonly number[] = cluster.ids,
): Promise<void> {
  await writers.stop();
  t.same(
    await writers.audit(ids),
    [],
    'every acknowledged write is read from every replica, and none was applied twice',
  );
  t.match(
    await cluster.waitSameState(ids),
    /^[0-9a-f]{16}$/,
    'the state hashes of all these replicas are equal',
  );
}

/** A stretch of time in which things go on by themselves; the one thing a test may wait for by the clock. */
export function letRun(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
