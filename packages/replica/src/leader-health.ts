/**
 * When a leader hands over because it is slow: every write waits for it, so a leader whose disk or event loop is much
 * slower than its peers' slows down all of them. It decides on what it is told, and does nothing itself; whether the
 * cluster has a leader at all is the election's business.
 *
 * To move costs a few round trips and helps only if the next one stays faster. So it must never act on a moment, and
 * never let leadership go round in circles: where it is leading itself that makes a replica slow, each one would want to
 * be rid of it. Each move that comes back makes the next one wait twice as long. But a disk that hangs is no moment: then
 * nothing small is written until leadership is elsewhere, however long it has been here.
 */
import type { ReplicaId } from '@kvd/paxos';

export interface PeerHealth {
  /** A voter that could lead. */
  readonly id: ReplicaId;
  /** How long a synced write takes it. Null: it did not say, or too long ago. */
  readonly slowMs: number | null;
  /** Slots that it has still to learn. */
  readonly lag: number;
}

/** So long without a break a leader has to be slow. */
export const SLOW_LEADER_MS = 5_000;
/** Much slower: so many times as slow as the peers, and so much slower, for what nobody notices is no reason. */
const SLOWER_FACTOR = 5;
const SLOWER_BY_MS = 50;
/** Who has more to learn would keep all waiting until it has. */
const LAG_SLOTS_MAX = 1024;
/** How long leadership stays where it is, in times of how long a leader has to be slow. */
const HOLD_FACTOR = 12;
/** What comes back later than so many holds after it was handed over did not bounce. */
const BOUNCE_HOLDS = 4;
const HOLD_FACTOR_MAX = 64 * HOLD_FACTOR;

export class LeaderHealth {
  private holdMs: number;
  private slowForMs = 0;
  /** Since leadership came here, or was handed over from here, whichever was last. */
  private sinceMs = 0;
  private leads = false;
  private handedOver = false;

  /** @param patienceMs how long a leader has to be slow; 0: it never hands over because of that */
  constructor(private readonly patienceMs: number = SLOW_LEADER_MS) {
    this.holdMs = HOLD_FACTOR * patienceMs;
  }

  /**
   * To be told again and again, whether leading or not.
   *
   * @param dtMs since the last call
   * @param ownSlowMs how long a synced write takes this replica; null: it does not lead
   * @param peers the other voters
   * @returns whom to hand over to, now; null: nobody
   */
  tick(dtMs: number, ownSlowMs: number | null, peers: readonly PeerHealth[]): ReplicaId | null {
    this.sinceMs += dtMs;
    if (ownSlowMs === null) {
      this.leads = false;
      this.slowForMs = 0;
      return null;
    }
    if (!this.leads) this.onLeading();
    this.slowForMs = this.isSlow(ownSlowMs, peers) ? this.slowForMs + dtMs : 0;
    const hangs = ownSlowMs >= this.patienceMs;
    if (this.patienceMs === 0 || this.slowForMs < this.patienceMs) return null;
    if (this.sinceMs < this.holdMs && !hangs) return null;
    const target = fastest(peers);
    if (target === null || !isMuchSlower(ownSlowMs, target.slowMs)) return null;
    this.handedOver = true;
    this.sinceMs = 0;
    this.slowForMs = 0;
    return target.id;
  }

  private onLeading(): void {
    const soon = this.sinceMs < BOUNCE_HOLDS * this.holdMs;
    if (!soon) this.holdMs = HOLD_FACTOR * this.patienceMs;
    else if (this.handedOver) this.holdMs = Math.min(2 * this.holdMs, HOLD_FACTOR_MAX * this.patienceMs);
    this.leads = true;
    this.handedOver = false;
    this.sinceMs = 0;
  }

  /**
   * Of an even number of peers the slower one in the middle counts: where half of them are as slow as the leader, another
   * leader would have to wait for one of these.
   */
  private isSlow(ownSlowMs: number, peers: readonly PeerHealth[]): boolean {
    const known = peers.flatMap(({ slowMs }) => (slowMs === null ? [] : [slowMs])).sort((a, b) => a - b);
    const median = known[Math.floor(known.length / 2)];
    return median !== undefined && isMuchSlower(ownSlowMs, median);
  }
}

function isMuchSlower(slowMs: number, thanMs: number): boolean {
  return slowMs > SLOWER_FACTOR * thanMs && slowMs > thanMs + SLOWER_BY_MS;
}

/** Of those that have caught up; among equals who has less to learn. */
function fastest(peers: readonly PeerHealth[]): { readonly id: ReplicaId; readonly slowMs: number } | null {
  let best: { readonly id: ReplicaId; readonly slowMs: number; readonly lag: number } | null = null;
  for (const { id, slowMs, lag } of peers) {
    if (slowMs === null || lag > LAG_SLOTS_MAX) continue;
    if (best === null || slowMs < best.slowMs || (slowMs === best.slowMs && lag < best.lag))
      best = { id, slowMs, lag };
  }
  return best;
}
