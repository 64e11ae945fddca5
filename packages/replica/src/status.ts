/** What a replica says of itself: GET /v1/status, and why it is as it is. */
import type { Configuration } from '@kvd/paxos';
import type { ReplicaStatus } from './api.js';
import type { Replica } from './replica.js';

export function describeStatus(replica: Replica, pendingRequests: number): ReplicaStatus {
  const { node, driver, identity, ports, options } = replica;
  const { phase, votes, founded, leader, ballot, clusterId } = node.status();
  const { state } = ports;
  const [role, reason] = roleOf(replica, phase, votes, founded);
  return {
    id: identity.replicaId,
    address: options.address,
    role,
    reason,
    clusterId,
    leader,
    ballot,
    chosenThrough: node.chosenThrough,
    appliedThrough: state.appliedThrough,
    cutThrough: driver.cutThrough,
    revision: state.revision,
    stateHash: state.stateHash,
    incarnation: identity.incarnation,
    ready: isReady(replica, leader),
    down: [...replica.roles.down],
    pendingRequests,
    watches: replica.watches.size,
    compactRevision: state.compactRevision,
    configurationSlot: node.history.latest?.slot ?? 0,
    members: membersOf(replica, node.history.latest?.configuration),
  };
}

function roleOf(
  replica: Replica,
  phase: 'idle' | 'probing' | 'preparing' | 'leading',
  votes: boolean,
  founded: boolean,
): [ReplicaStatus['role'], string] {
  if (replica.stopped) return ['stopped', 'stopped'];
  if (replica.driver.hasFailed) return ['stopped', 'its log failed; it votes on nothing'];
  if (replica.node.rolledBack) return ['stopped', 'its data directory was rolled back to an older copy'];
  if (!founded) {
    const why = replica.options.mayFound
      ? 'waits for every founding member'
      : 'its directory was set aside: it waits for a peer that knows the cluster';
    return ['founding', why];
  }
  if (!votes) return ['learner', whyLearner(replica)];
  if (replica.keeper.trouble !== '') return ['follower', replica.keeper.trouble];
  if (phase === 'leading') return ['leader', ''];
  if (replica.options.witness) return ['witness', ''];
  const why = replica.isStateBehindLog
    ? 'its state is to come from a peer: its log does not reach back to it'
    : '';
  return [phase === 'idle' ? 'follower' : 'candidate', why];
}

function whyLearner({ node, identity, options }: Replica): string {
  const members = node.history.latest?.configuration.members ?? [];
  const named = members.find(({ replicaId }) => replicaId === identity.replicaId);
  if (named === undefined) {
    const hint =
      node.history.names(identity) || options.founding?.length
        ? 'it was removed'
        : 'kvctl member add makes it one';
    return `it is no member: ${hint}`;
  }
  if (named.incarnation !== identity.incarnation)
    return 'the configuration does not name its incarnation: it lost its disk, and does not vote until it is admitted again';
  return named.promoteTo === undefined ? '' : `it will be a ${named.promoteTo} when it has caught up`;
}

/** Can a linearizable request be answered, here or by the leader? */
function isReady(replica: Replica, leader: number): boolean {
  if (replica.stopped || replica.keeper.trouble !== '' || leader === 0) return false;
  if (replica.isStateBehindLog) return false;
  // Before slot 1 is known here, the leader may be alone in knowing it.
  if (!replica.node.history.founded) return false;
  if (leader === replica.identity.replicaId) return replica.node.isEstablished;
  return replica.neighbours.has(leader);
}

function membersOf(replica: Replica, configuration: Configuration | undefined): ReplicaStatus['members'] {
  return (configuration?.members ?? []).map((member) => {
    const self = member.replicaId === replica.identity.replicaId;
    return {
      id: member.replicaId,
      address: replica.neighbours.addressOf(member),
      role: member.role,
      incarnation: member.incarnation,
      connected: self || replica.neighbours.with(member) !== undefined,
      chosenThrough: self ? replica.node.chosenThrough : replica.node.peerChosenThrough(member.replicaId),
    };
  });
}
