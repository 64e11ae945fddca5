/**
 * What the clients of a drill ask for. Most of it is about a few keys that all of them share, so that their operations
 * meet, with a value that is written once only, so that every read says which write it saw. Some writes go to a key of
 * their own that nobody touches again: what is acknowledged there must be there in the end.
 */
import type { Call } from '@kvd/checker';

/** What they ask for, of all that a history may hold. */
export type DrillCall = Extract<Call, { op: 'get' | 'put' | 'delete' | 'scan' }>;

export const SHARED_PREFIX = 'drill/';
export const OWN_PREFIX = 'once/';
const KEYS = 16;
/** Shares of 1; the rest are reads. */
const PUTS = 0.42;
const OWN_PUTS = 0.08;
const DELETES = 0.06;
const SCANS = 0.04;
/** Keys of their own, of all clients together. */
const OWN_KEYS_MAX = 20_000;

export const SHARED_KEYS: readonly string[] = Array.from(
  { length: KEYS },
  (_, index) => `${SHARED_PREFIX}${index}`,
);

/** Calls without end, for one of `clients` clients. */
export class Workload {
  /** Keys of its own that were asked for. */
  readonly ownKeys: string[] = [];
  private written = 0;
  private readonly ownKeysMax: number;

  constructor(
    private readonly client: string,
    clients: number,
    private readonly random: () => number,
  ) {
    this.ownKeysMax = Math.floor(OWN_KEYS_MAX / clients);
  }

  next(): DrillCall {
    const key = SHARED_KEYS[Math.floor(this.random() * KEYS)] ?? SHARED_PREFIX;
    let dice = this.random();
    const falls = (share: number): boolean => {
      dice -= share;
      return dice < 0;
    };
    if (falls(PUTS)) return this.put(key);
    if (falls(OWN_PUTS)) return this.put(this.ownKey() ?? key);
    if (falls(DELETES)) return { op: 'delete', key };
    if (falls(SCANS)) return { op: 'scan', prefix: SHARED_PREFIX };
    return { op: 'get', key };
  }

  private put(key: string): DrillCall {
    this.written += 1;
    return { op: 'put', key, value: `${this.client}.${this.written}` };
  }

  private ownKey(): string | undefined {
    if (this.ownKeys.length >= this.ownKeysMax) return undefined;
    const key = `${OWN_PREFIX}${this.client}.${this.ownKeys.length + 1}`;
    this.ownKeys.push(key);
    return key;
  }
}
