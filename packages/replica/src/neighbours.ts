/**
 * Who is connected with us, by replica and incarnation: of one id there may be several, when a replica came back without
 * its disk before the end of its former life was noticed, or when somebody started a second process. Owns where a
 * replica is reached.
 */
import type { Configuration, Identity, Incarnation, Member, ReplicaId } from '@kvd/paxos';
import type { FoundingReplica } from './api.js';

export interface Neighbour {
  readonly identity: Identity;
  /** HOST:PORT where it says that it listens. */
  readonly address: string;
  links: number;
}

export interface PeerAddress {
  readonly id: ReplicaId;
  readonly address: string;
}

export class Neighbours {
  private readonly connected = new Map<Incarnation, Neighbour>();
  /** Where this start was told to reach somebody, whatever is said elsewhere. */
  private readonly told: ReadonlyMap<ReplicaId, string>;

  constructor(
    private readonly self: Identity,
    private readonly founding: readonly FoundingReplica[],
    private readonly contacts: readonly PeerAddress[],
    dial: readonly PeerAddress[] = [],
  ) {
    const moved = founding.filter(({ address, written }) => written !== undefined && written !== address);
    this.told = new Map([...moved, ...dial].map(({ id, address }) => [id, address]));
  }

  onConnected(identity: Identity, address: string): void {
    const links = (this.connected.get(identity.incarnation)?.links ?? 0) + 1;
    this.connected.set(identity.incarnation, { identity, address, links });
  }

  /** True: that was its last connection. */
  onDisconnected({ incarnation }: Identity): boolean {
    const neighbour = this.connected.get(incarnation);
    if (!neighbour) return false;
    neighbour.links -= 1;
    if (neighbour.links > 0) return false;
    this.connected.delete(incarnation);
    return true;
  }

  get all(): Neighbour[] {
    return [...this.connected.values()];
  }

  get ids(): ReplicaId[] {
    return [...new Set(this.all.map(({ identity }) => identity.replicaId))].filter(
      (id) => id !== this.self.replicaId,
    );
  }

  of(id: ReplicaId): Neighbour[] {
    return this.all.filter(({ identity }) => identity.replicaId === id);
  }

  has(id: ReplicaId): boolean {
    return this.of(id).length > 0;
  }

  with({ replicaId, incarnation }: Identity): Neighbour | undefined {
    const neighbour = this.connected.get(incarnation);
    return neighbour?.identity.replicaId === replicaId ? neighbour : undefined;
  }

  /** Connected, and named by no member of the configuration. */
  strangers(configuration: Configuration | undefined): Neighbour[] {
    const members = configuration?.members ?? [];
    return this.all.filter(
      ({ identity }) =>
        identity.replicaId !== this.self.replicaId &&
        !members.some(
          ({ replicaId, incarnation }) =>
            replicaId === identity.replicaId && incarnation === identity.incarnation,
        ),
    );
  }

  /** Where a member is reached: where this start was told, or where it says itself, or where the log says. */
  addressOf(member: Member): string {
    const live = this.with(member) ?? this.of(member.replicaId).at(-1);
    return this.told.get(member.replicaId) ?? live?.address ?? member.address;
  }

  /** Whom to stay connected with: members, or who may know them; and whoever is connected with us, to answer. */
  wanted(configuration: Configuration | undefined): PeerAddress[] {
    const known: readonly PeerAddress[] = configuration
      ? configuration.members.map((member) => ({ id: member.replicaId, address: this.addressOf(member) }))
      : [...this.founding, ...this.contacts];
    const peers = new Map(known.map(({ id, address }) => [id, this.told.get(id) ?? address]));
    // Who is no member, perhaps because all of them are new, hears of them only where it is told to ask.
    const isMember = configuration?.members.some(({ incarnation }) => incarnation === this.self.incarnation);
    for (const { id, address } of isMember ? [] : this.contacts)
      if (!peers.has(id)) peers.set(id, this.told.get(id) ?? address);
    for (const { identity, address } of this.strangers(configuration))
      if (!peers.has(identity.replicaId))
        peers.set(identity.replicaId, this.told.get(identity.replicaId) ?? address);
    peers.delete(this.self.replicaId);
    return [...peers].map(([id, address]) => ({ id, address }));
  }
}
