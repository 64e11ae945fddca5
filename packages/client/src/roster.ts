/**
 * The addresses where replicas may be reached: those given and those learned from replicas, who leads, and which
 * address is better left alone for a while. Decides whom to try next; opens nothing.
 */
import type { Welcome } from '@kvd/protocol';

const BACK_OFF_MS_MIN = 50;
const BACK_OFF_MS_MAX = 5_000;

interface Standing {
  failures: number;
  /** Not tried before, unless nothing else is asked for. */
  avoidUntilMs: number;
  error: Error | null;
}

export class Roster {
  private members: ReadonlyMap<number, string> = new Map();
  private leaderId = 0;
  private readonly standings = new Map<string, Standing>();

  constructor(
    private readonly endpoints: readonly string[],
    private readonly random: () => number,
  ) {}

  /** Take over what a replica says about members and leader. */
  learn(welcome: Welcome): void {
    this.leaderId = welcome.leaderId;
    if (welcome.members.length > 0) this.members = new Map(welcome.members.map((m) => [m.id, m.address]));
    const known = new Set(this.addresses());
    for (const address of this.standings.keys()) if (!known.has(address)) this.standings.delete(address);
  }

  /** Where the leader is, as far as it is known. */
  get leaderAddress(): string | null {
    return this.members.get(this.leaderId) ?? null;
  }

  /** The address to try now: the leader's, else a given one, else a member's; null when all must wait. */
  pick(nowMs: number, except: (address: string) => boolean): string | null {
    let best: string | null = null;
    let bestFailures = Number.POSITIVE_INFINITY;
    for (const address of this.addresses()) {
      if (except(address) || !this.mayTry(address, nowMs)) continue;
      const failures = this.standings.get(address)?.failures ?? 0;
      if (failures >= bestFailures) continue;
      best = address;
      bestFailures = failures;
    }
    return best;
  }

  mayTry(address: string, nowMs: number): boolean {
    return (this.standings.get(address)?.avoidUntilMs ?? 0) <= nowMs;
  }

  /** It could not be reached, or the connection broke. */
  failed(address: string, nowMs: number, error: Error): void {
    const standing = this.standing(address);
    const backOffMs = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS_MIN * 2 ** standing.failures);
    standing.failures++;
    standing.error = error;
    this.avoid(address, nowMs, backOffMs * (0.5 + this.random() / 2));
  }

  /** It is there, but of no use just now. */
  avoid(address: string, nowMs: number, forMs: number): void {
    const standing = this.standing(address);
    standing.avoidUntilMs = Math.max(standing.avoidUntilMs, nowMs + forMs);
  }

  succeeded(address: string): void {
    this.standings.delete(address);
  }

  /** Every address with its last error; undefined for one without. */
  errors(): Map<string, Error | undefined> {
    return new Map(this.addresses().map((a) => [a, this.standings.get(a)?.error ?? undefined]));
  }

  private addresses(): string[] {
    const leader = this.leaderAddress;
    return [...new Set([...(leader === null ? [] : [leader]), ...this.endpoints, ...this.members.values()])];
  }

  private standing(address: string): Standing {
    let standing = this.standings.get(address);
    if (standing === undefined) {
      standing = { failures: 0, avoidUntilMs: 0, error: null };
      this.standings.set(address, standing);
    }
    return standing;
  }
}
