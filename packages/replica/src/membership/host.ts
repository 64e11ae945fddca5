/** A replica as its Membership sees it. */
import type { ReplicaId, Slot } from '@kvd/paxos';
import type { PeerMessage } from '@kvd/protocol';
import type { Pending } from '../pending.js';
import type { Replica } from '../replica.js';
import type { MembershipHost } from './membership-host.js';

/** What of it is nobody else's. */
export interface MembershipMeans {
  send(to: ReplicaId, message: PeerMessage): void;
  retry(pending: Pending, why: string): void;
  onDismissed(slot: Slot): void;
}

export function membershipHostOf(replica: Replica, means: MembershipMeans): MembershipHost {
  const { node } = replica;
  return {
    ...means,
    identity: replica.identity,
    get chosenThrough() {
      return node.chosenThrough;
    },
    get durableThrough() {
      return durableThrough(replica);
    },
    get slowMs() {
      return replica.slowMs;
    },
    get leader() {
      return node.leader;
    },
    get isEstablished() {
      return node.isEstablished;
    },
    get proposedThrough() {
      return node.proposedThrough;
    },
    get confirmedRound() {
      return node.confirmedRound;
    },
    get canPropose() {
      return node.canPropose;
    },
    get latest() {
      return node.history.latest;
    },
    get configurations() {
      return node.history.from(node.chosenThrough + 1);
    },
    get known() {
      return node.history.all;
    },
    propose: (configuration) => node.propose({ type: 'configuration', configuration }),
    persistMark: () => node.step({ type: 'persist-mark' }),
    handOver: (to) => node.step({ type: 'transfer', to }),
  };
}

/**
 * A state that is distrusted holds nothing, whatever it says of itself; one that is lost, as far as it goes. What the log
 * has not cut behind it is there all the same.
 */
function durableThrough({ driver, keeper, ports: { state } }: Replica): Slot {
  const inState = keeper.trouble === '' ? state.durableThrough : 0;
  return inState >= driver.cutThrough ? driver.chosenThrough : Math.min(inState, driver.chosenThrough);
}
