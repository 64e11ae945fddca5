/**
 * Whose disk may be lost now without losing anything for good. Counted by ground truth, and as tight as the promise: in
 * every configuration that is in force or may come into force, as many disks may be gone as it says it survives; and one
 * that was replaced counts until its successor is done (docs/MEMBERSHIP.md). As soon as who lost its disk is admitted
 * again and that is done, the next one may go.
 */
import type { Configuration, Member } from '@kvd/paxos';
import type { Host } from './host.js';
import { quorumsOf } from './oracle/configurations.js';
import { lostOf } from './oracle/membership.js';
import { scenarioNamed } from './scenarios/index.js';
import type { World } from './world.js';

export class DiskBudget {
  constructor(private readonly world: World) {}

  /** May the disk of this machine be wiped, or damaged? */
  allows(host: Host): boolean {
    const { votes, plan } = this.world;
    if (!this.isFounded(host)) return false;
    if (scenarioNamed(plan.scenario)?.isHopeless === true) return true;
    const isAlive = (member: Member): boolean => this.holds(member);
    const isAliveThen = (member: Member): boolean =>
      this.holds(member) && member.incarnation !== host.identity?.incarnation;
    const done = votes.members.undone(isAlive).map(({ configuration }) => configuration);
    return [...done, ...this.prospects()].every(
      (configuration) => lostOf(configuration, isAliveThen) <= quorumsOf(configuration).disks,
    );
  }

  /** Is the disk of the incarnation there, and whole? One that is only there for a while (a twin's) does not count. */
  holds({ replicaId, incarnation }: Pick<Member, 'replicaId' | 'incarnation'>): boolean {
    return this.world.hosts.some(
      (host) => host.id === replicaId && host.identity?.incarnation === incarnation && !host.isDiskLost,
    );
  }

  /**
   * Does another founder know that there is a cluster? Where all of them are blank they found a new one, so that who
   * runs the cluster has to start such a machine as one that joins (OPERATIONS, "Growing and shrinking").
   */
  isRemembered(host: Host): boolean {
    const { votes, founders } = this.world;
    return founders.some(
      ({ number, identity, isDiskLost, isRemoved }) =>
        number !== host.number &&
        !isDiskLost &&
        !isRemoved &&
        identity !== null &&
        votes.knowsFounding(identity),
    );
  }

  /** Configurations that may replace the latest one before anybody can object. */
  private prospects(): Configuration[] {
    const { votes, operator, machines } = this.world;
    const { latest } = votes.chain;
    if (latest === null) return [];
    const proposed = [
      ...votes.configurationsProposed(),
      ...machines.flatMap((host) => configurationsInFlight(host)),
    ].filter((configuration) => configuration.replaces === latest.slot);
    return [...proposed, ...operator.prospects(latest.configuration)].flatMap((configuration) => [
      configuration,
      ...withWishes(configuration),
    ]);
  }

  /**
   * The founding needs all founders, and no write is acknowledged earlier (S11): until the others have it on their disks
   * nobody's may be lost. What is in memory does not count, for a power cut may come at the same time.
   */
  private isFounded(host: Host): boolean {
    const { votes, founders } = this.world;
    if (!votes.founded) return false;
    if (votes.chain.all.length > 1) return true;
    if (founders.some(({ identity }) => identity === null)) return false;
    return founders.every(
      (other) =>
        other === host ||
        other.isDiskLost ||
        (other.identity !== null && votes.knowsFounding(other.identity)),
    );
  }
}

/** What its leader has proposed and not got chosen yet. */
function configurationsInFlight({ replica }: Host): Configuration[] {
  const flights = replica?.node['proposer']?.leadership?.['inFlight'].values() ?? [];
  return [...flights].flatMap(({ value }) => (value.type === 'configuration' ? [value.configuration] : []));
}

/** What becomes of the configuration when learners are promoted that are to be. */
function withWishes(configuration: Configuration): Configuration[] {
  return configuration.members
    .filter(({ promoteTo }) => promoteTo !== undefined)
    .map((learner) => ({
      ...configuration,
      members: configuration.members
        .filter(({ replicaId }) => replicaId !== learner.replicaId && replicaId !== learner.replaces)
        .concat({ ...learner, role: learner.promoteTo ?? 'voter' }),
    }));
}
