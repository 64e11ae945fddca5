/** Which differences between two hellos matter, decided without any I/O. Both ends check, each the other's hello. */
import { foundingMembers, type PeerHello } from '@kvd/protocol';
import { CLOSE, type CloseCode } from './ws-conventions.js';

/** Why there is to be no connection. */
export interface Refusal {
  readonly code: CloseCode;
  readonly reason: string;
}

/**
 * `dialled`: the id under which the sender of `theirs` was dialled; null when it dialled us. (That the protocol versions
 * agree was seen when the hello was decoded.)
 */
export function checkPeerHello(ours: PeerHello, theirs: PeerHello, dialled: number | null): Refusal | null {
  if (ours.clusterId !== '' && theirs.clusterId !== '' && ours.clusterId !== theirs.clusterId) {
    const reason = `replica ${theirs.replicaId} belongs to cluster ${theirs.clusterId}, not ${ours.clusterId}`;
    return { code: CLOSE.wrongCluster, reason };
  }
  if (foundedOtherwise(ours.founding, theirs.founding)) {
    const reason = `replica ${theirs.replicaId} was founded with ${theirs.founding}, not ${ours.founding}`;
    return { code: CLOSE.otherFounding, reason };
  }
  if (theirs.replicaId === ours.replicaId) {
    const reason =
      theirs.incarnation === ours.incarnation
        ? `replica ${ours.replicaId} was dialled by itself, or by a copy of its directory`
        : `a second replica ${ours.replicaId}, incarnation ${theirs.incarnation}`;
    return { code: CLOSE.wrongIdentity, reason };
  }
  if (dialled !== null && theirs.replicaId !== dialled) {
    return {
      code: CLOSE.wrongIdentity,
      reason: `replica ${theirs.replicaId} answers where ${dialled} was dialled`,
    };
  }
  return null;
}

/** Addresses may have been overridden since, membership never. */
function foundedOtherwise(ours: string, theirs: string): boolean {
  return ours !== '' && theirs !== '' && foundingMembers(ours) !== foundingMembers(theirs);
}
