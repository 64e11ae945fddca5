/** Ballots as the judges compare and show them. */
import type { Ballot } from '@kvd/paxos';

export function before(a: Ballot, b: Ballot): boolean {
  if (a.counter !== b.counter) return a.counter < b.counter;
  if (a.replicaId !== b.replicaId) return a.replicaId < b.replicaId;
  return a.incarnation < b.incarnation;
}

export function highest(a: Ballot | null, b: Ballot): Ballot {
  return a === null || before(a, b) ? b : a;
}

export function keyOf(ballot: Ballot): string {
  return `${ballot.counter}.${ballot.replicaId}.${ballot.incarnation}`;
}

export function show(ballot: Ballot): string {
  return `${ballot.counter}.${ballot.replicaId}`;
}
