/**
 * Do all replicas that applied the same slots have the same state? (S12) Each keeps its hash at every 1,024th slot; the
 * leader compares those of the voters and tells the majority's with its heartbeats; whoever differs has a wrong state.
 */
import type { Digest, ReplicaId, Slot } from '@kvd/paxos';
import { majorityOf } from '@kvd/paxos';

export const DIGEST_SLOTS = 1024;
const KEPT = 8;
const NONE: Digest = { slot: 0, hash: '' };
/** In place of a hash: every voter answered and no hash has a majority. */
export const SPLIT = 'split';

export type DigestVerdict = 'agrees' | 'contradicted' | 'split';

export class DigestWatch {
  /** The newest of our own; sent in answers to heartbeats. */
  own: Digest = NONE;
  private kept: Digest[] = [];
  private readonly peers = new Map<ReplicaId, Digest>();

  constructor(private readonly everySlots = DIGEST_SLOTS) {}

  onApplied(slot: Slot, stateHash: () => string): void {
    if (slot % this.everySlots !== 0) return;
    this.own = { slot, hash: stateHash() };
    this.kept.push(this.own);
    if (this.kept.length > KEPT) this.kept.shift();
  }

  onPeer(peer: ReplicaId, digest: Digest): void {
    if (digest.slot > 0) this.peers.set(peer, digest);
  }

  /** As leader: the newest slot about which a majority of the voters agrees, or all answered and none does. */
  tally(self: ReplicaId, voters: readonly ReplicaId[]): Digest {
    for (const { slot } of this.kept.toReversed()) {
      const verdict = this.tallyAt(slot, self, voters);
      if (verdict) return verdict;
    }
    return NONE;
  }

  /** What the majority's digest says about our own state. */
  judge(verdict: Digest): DigestVerdict {
    if (verdict.hash === SPLIT) return 'split';
    const own = this.kept.find((digest) => digest.slot === verdict.slot);
    return own && own.hash !== verdict.hash ? 'contradicted' : 'agrees';
  }

  /** The state was replaced: what we knew of it says nothing any more. */
  reset(): void {
    this.own = NONE;
    this.kept = [];
  }

  private tallyAt(slot: Slot, self: ReplicaId, voters: readonly ReplicaId[]): Digest | null {
    const counts = new Map<string, number>();
    let answered = 0;
    for (const voter of voters) {
      const digest = voter === self ? this.kept.find((kept) => kept.slot === slot) : this.peers.get(voter);
      if (digest?.slot !== slot) continue;
      answered += 1;
      counts.set(digest.hash, (counts.get(digest.hash) ?? 0) + 1);
    }
    for (const [hash, count] of counts) if (count >= majorityOf(voters.length)) return { slot, hash };
    return answered === voters.length ? { slot, hash: SPLIT } : null;
  }
}
