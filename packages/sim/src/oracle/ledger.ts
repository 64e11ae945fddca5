/**
 * What the clients of the data model were promised, and whether it was kept: leases that do not end early, one holder of
 * a lock at a time, counters that count every increment once, money that is not made, fates that stay as they were told.
 * Knows what clients know, and looks up in the reference what the log did.
 */
import { type CommandResult, encodeCommand, type Request, type Response } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import type { Reference } from '../reference/reference.js';
import { safety } from '../violation.js';
import { ACCOUNTS, counterAt, FUNDS } from '../workload/keys.js';
import { judgeRead, showResult } from './answers.js';

/** Does the answer of a mutation come from the log? */
export interface LogResults {
  gave(command: Uint8Array, result: CommandResult): boolean;
}

interface Tally {
  acknowledged: number;
  unknown: number;
}

interface LeaseTold {
  readonly ttlMs: number;
  /** When the last sign of life that was acknowledged was sent. */
  sentMs: number;
}

interface Fate {
  readonly name: string;
  status: 'applied' | 'never';
}

/** Of what a lease's end is measured with. */
export interface LeaseClock {
  nowMs(): number;
  /** How much faster than time the fastest replica ticks. */
  readonly fastest: number;
  readonly tickMs: number;
  /** How often somebody began to lead since then. */
  leadersSince(atMs: number): number;
}

export class Ledger {
  /** The highest revision that any client knows of. */
  floor = 0;
  /** Leases that ended because they were due. */
  expired = 0;
  private readonly leases = new Map<number, LeaseTold>();
  private readonly counters = new Map<string, Tally>();
  private readonly acquired: { readonly lock: string; readonly token: number }[] = [];
  private readonly guarded: { readonly lock: string; readonly token: number; readonly revision: number }[] =
    [];
  private readonly fates = new Map<number, Fate>();

  constructor(
    readonly reference: Reference,
    private readonly log: LogResults,
    private readonly time: LeaseClock,
  ) {}

  saw(revision: number): void {
    this.floor = Math.max(this.floor, revision);
  }

  /** Every answer passes here. */
  judgeResult(command: Uint8Array, response: Response): void {
    if (response.type === 'error') return;
    if (response.type !== 'result' || !this.log.gave(command, response.result))
      throw safety('answers', `a mutation was answered ${describe(response)}, which the log never gave it`);
    const fate = this.fates.get(crc32(command));
    const wasDone = response.result.type !== 'error';
    if (fate?.status === 'never' && wasDone)
      throw safety('outcome', `${fate.name} was never to be applied, and is: ${describe(response)}`);
  }

  judgeRead(
    request: Exclude<Request, { type: 'mutate' | 'members' }>,
    response: Response,
    floor: number,
  ): void {
    judgeRead(this.reference, request, response, floor);
    if ('revision' in response) this.saw(response.revision);
  }

  // Fates

  /** Somebody was told what became of this command. */
  fateOf(command: Parameters<typeof encodeCommand>[0], name: string, status: Fate['status']): void {
    const key = crc32(encodeCommand(command));
    const before = this.fates.get(key);
    if (before !== undefined && before.status !== status)
      throw safety('outcome', `${name} was ${before.status}, and now ${status}`);
    this.fates.set(key, { name, status });
  }

  // Leases

  granted(lease: number, ttlMs: number, sentMs: number): void {
    this.leases.set(lease, { ttlMs, sentMs });
  }

  keptAlive(lease: number, sentMs: number): void {
    const told = this.leases.get(lease);
    if (told !== undefined) told.sentMs = Math.max(told.sentMs, sentMs);
  }

  /** Cluster time passes no faster than the fastest clock's, but for a tick of each leader. */
  onExpired(lease: number): void {
    this.expired += 1;
    const told = this.leases.get(lease);
    if (told === undefined) return;
    const { time } = this;
    const passedMs = time.nowMs() - told.sentMs;
    const slackMs = time.tickMs * (2 + time.leadersSince(told.sentMs));
    if (passedMs * time.fastest + slackMs < told.ttlMs)
      throw safety(
        'lease',
        `lease ${lease} of ${told.ttlMs} ms ended ${passedMs.toFixed(1)} ms after the last sign of life was sent`,
      );
  }

  // Locks

  tookLock(lock: string, token: number): void {
    this.acquired.push({ lock, token });
  }

  wroteGuarded(lock: string, token: number, revision: number): void {
    this.guarded.push({ lock, token, revision });
  }

  // Counters

  counted(counter: string, outcome: 'acknowledged' | 'unknown'): void {
    const tally = this.counters.get(counter) ?? { acknowledged: 0, unknown: 0 };
    tally[outcome] += 1;
    this.counters.set(counter, tally);
  }

  /** What was unknown is known by now. */
  recounted(counter: string, applied: boolean): void {
    const tally = this.counters.get(counter);
    if (tally === undefined) return;
    tally.unknown -= 1;
    if (applied) tally.acknowledged += 1;
  }

  // The bank

  judgeBank(balances: readonly number[], revision: number): void {
    const sum = balances.reduce((total, balance) => total + balance, 0);
    if (balances.length === 0 || (balances.length === ACCOUNTS && sum === ACCOUNTS * FUNDS)) return;
    throw safety('bank', `at revision ${revision} there were ${balances.join(' + ')} in the bank`);
  }

  /** At the end. */
  judge(): void {
    for (const { lock, token, revision } of this.guarded) {
      const later = this.acquired.find(
        (other) => other.lock === lock && other.token > token && other.token < revision,
      );
      if (later !== undefined)
        throw safety(
          'fencing',
          `a write with token ${token} of ${lock} got revision ${revision}, after ${later.token} had taken it`,
        );
    }
    for (const index of [0, 1]) this.judgeCounter(counterAt(index));
  }

  private judgeCounter(counter: string): void {
    const { acknowledged, unknown } = this.counters.get(counter) ?? { acknowledged: 0, unknown: 0 };
    const count = Number(this.reference.versions.get(counter)?.value ?? 0);
    if (count >= acknowledged && count <= acknowledged + unknown) return;
    throw safety(
      'counter',
      `${counter} is ${count}; ${acknowledged} increments were acknowledged, and of ${unknown} nobody knows`,
    );
  }
}

function describe(response: Response): string {
  return response.type === 'result' ? showResult(response.result) : response.type;
}
