/** Tells leader-health.ts what the reports say of the voters, and hands over when it says so. */
import { memberOf } from '@kvd/paxos';
import { LeaderHealth, type PeerHealth } from '../leader-health.js';
import type { Tracer } from '../tracer.js';
import type { Membership } from './membership.js';
import type { MembershipHost } from './membership-host.js';

export class SlowLeader {
  private readonly health: LeaderHealth;
  private ticks = 0;

  constructor(
    patienceMs: number | undefined,
    private readonly everyTicks: number,
    private readonly tickMs: number,
    private readonly host: MembershipHost,
    private readonly membership: Membership,
    private readonly tracer: Tracer,
  ) {
    this.health = new LeaderHealth(patienceMs);
  }

  tick(): void {
    this.ticks += 1;
    if (this.ticks % this.everyTicks !== 0) return;
    const { host } = this;
    const slowMs = host.isEstablished ? host.slowMs : null;
    const to = this.health.tick(this.everyTicks * this.tickMs, slowMs, slowMs === null ? [] : this.peers());
    if (to === null) return;
    this.tracer.event('warn', 'slow-leader', { slowMs, to });
    host.handOver(to);
  }

  private peers(): PeerHealth[] {
    const { host, membership } = this;
    const { configuration } = host.latest ?? {};
    if (!configuration || memberOf(configuration, host.identity) === undefined) return [];
    return configuration.members
      .filter(({ role, replicaId }) => role === 'voter' && replicaId !== host.identity.replicaId)
      .map((member) => ({
        id: member.replicaId,
        slowMs: membership.standing.isReachable(member)
          ? (membership.standing.reports.of(member)?.slowMs ?? null)
          : null,
        lag: Math.max(0, host.chosenThrough - (membership.standing.durableThrough(member) ?? 0)),
      }));
  }
}
