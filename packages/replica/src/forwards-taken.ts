/**
 * Which requests that were passed on to us we have taken already.
 *
 * Rule: a forward is taken once. A second delivery of the same frame is dropped, without an answer.
 * Why: of one attempt there may be one answer only. The first delivery may lie in a slot while the second is refused, for
 *   the leadership or the state was lost in between: "nothing was done" would be said of what may yet be chosen. (DESIGN,
 *   section 7; seed 1512580446)
 *
 * Connections of kvd repeat nothing, so this costs more thought than time; but safety shall not hang on it.
 */
import type { ReplicaId } from '@kvd/paxos';

/** A replica numbers what it passes on one by one: a repeat is one of its last so many. */
const REMEMBERED = 1024;

export class ForwardsTaken {
  /** Of each peer, by the number modulo REMEMBERED, the last one taken. 0 is no number. */
  private readonly byPeer = new Map<ReplicaId, Float64Array>();

  /** Take it, if it is not a repeat. Numbers of another life of the peer are others: it draws its first by chance. */
  take(from: ReplicaId, forwardId: number): boolean {
    let taken = this.byPeer.get(from);
    if (taken === undefined) {
      taken = new Float64Array(REMEMBERED);
      this.byPeer.set(from, taken);
    }
    const place = forwardId % REMEMBERED;
    if (taken[place] === forwardId) return false;
    taken[place] = forwardId;
    return true;
  }
}
