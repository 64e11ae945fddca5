/**
 * Ballots: totally ordered by counter, then replica, then incarnation. The incarnation is part of a ballot so that a
 * replica that lost its disk, and with it the memory of its last counter, can never issue an old ballot again.
 */
import type { Ballot, Identity } from './types.js';

/** Below every ballot that can be issued: what an acceptor that never promised has promised. */
export const ZERO_BALLOT: Ballot = { counter: 0, replicaId: 0, incarnation: '0'.repeat(32) };

/** Negative when a < b, 0 when they are the same ballot, positive when a > b. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a === b) return 0;
  if (a.counter !== b.counter) return a.counter - b.counter;
  if (a.replicaId !== b.replicaId) return a.replicaId - b.replicaId;
  if (a.incarnation === b.incarnation) return 0;
  return a.incarnation < b.incarnation ? -1 : 1;
}

export function sameBallot(a: Ballot, b: Ballot): boolean {
  return compareBallots(a, b) === 0;
}

/** The lowest ballot of `owner` above `above`. */
export function ballotAbove(above: Ballot, owner: Identity): Ballot {
  return { counter: above.counter + 1, replicaId: owner.replicaId, incarnation: owner.incarnation };
}

export function ballotOwner(ballot: Ballot): Identity {
  return { replicaId: ballot.replicaId, incarnation: ballot.incarnation };
}

/** `3.1`: counter and replica, for people. */
export function formatBallot(ballot: Ballot): string {
  return `${ballot.counter}.${ballot.replicaId}`;
}
