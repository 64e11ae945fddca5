/** Every queue of a replica has a bound; this looks whether they are kept. */
import type { Replica } from '@kvd/replica';
import { safety } from '../violation.js';

const PENDING_MAX = 100_000;
const APPLY_QUEUE_MAX = 1024;

export function judgeBounds(replica: Replica, id: number): void {
  const { alpha } = replica.options;
  const { acceptor, learner } = replica.node['context'];
  const check = (what: string, size: number, bound: number): void => {
    if (size > bound) throw safety('bounds', `replica ${id}: ${what} holds ${size}, its bound is ${bound}`);
  };
  check('accepted entries', acceptor?.['accepted'].size ?? 0, alpha + 1);
  check('known values', learner?.['known'].size ?? 0, alpha + 1);
  check('slots in flight', replica.node['proposer']?.leadership?.['inFlight'].size ?? 0, alpha);
  check('apply queue', replica.keeper['applier']['queue'].length, APPLY_QUEUE_MAX);
  check('requests', replica['router'].outstanding.count, PENDING_MAX);
}
