/** Whom a process wants to be connected with, and at which address. What it does not dial it cannot send to. */
import type { ReplicaId } from '@kvd/paxos';
import type { Station } from './network.js';

type Peers = readonly { readonly id: ReplicaId; readonly address: string }[];

export class Dialler {
  private peers: ReadonlyMap<ReplicaId, string> = new Map();

  constructor(private readonly stations: () => readonly Station[]) {}

  /** False: nothing is different. */
  set(peers: Peers): boolean {
    const before = this.peers;
    this.peers = new Map(peers.map(({ id, address }) => [id, address]));
    return before.size !== peers.length || peers.some(({ id, address }) => before.get(id) !== address);
  }

  dials({ id, address }: Station): boolean {
    return this.peers.get(id) === address;
  }

  stationOf(id: ReplicaId): Station | undefined {
    const address = this.peers.get(id);
    return address === undefined ? undefined : this.stations().find((station) => station.address === address);
  }
}
