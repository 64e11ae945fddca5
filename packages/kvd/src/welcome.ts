/** What a client is told when it connects, and whenever it changes: whom to ask. */
import { PROTOCOL_VERSION, type Welcome } from '@kvd/protocol';
import type { ReplicaStatus } from '@kvd/replica';
import type { PeerAddress } from './addresses.js';

/** `firstPeers`: who may know more, before the members are known. */
export function welcomeOf(status: ReplicaStatus, firstPeers: readonly PeerAddress[]): Welcome {
  const { id, clusterId, leader, members } = status;
  const known = members.length > 0 ? members : firstPeers;
  return {
    type: 'welcome',
    protocolVersion: PROTOCOL_VERSION,
    clusterId,
    replicaId: id,
    leaderId: leader,
    members: known.map((member) => ({ id: member.id, address: member.address })),
  };
}
