/**
 * Random faults on a test cluster, from one seed: messages lost, doubled, reordered and late, partitions, crashes,
 * slow disks, roles killed, directories wiped, configurations changed, logs cut. The oracle judges safety at every
 * step; after the storm everybody who can vote must choose again, and everybody must learn it.
 */
import assert from 'node:assert/strict';
import { votersOf } from '../../src/configuration.js';
import type { Role } from '../../src/node.js';
import type { Configuration, ReplicaId } from '../../src/types.js';
import { Cluster, type Packet } from './cluster.js';
import { batch, seededRandom } from './literals.js';

/** What the weather of one run is like; probabilities per tick, or per message. */
export interface Weather {
  readonly size: number;
  readonly ticks: number;
  readonly alpha: number;
  readonly loss: number;
  readonly doubling: number;
  readonly delay: number;
  readonly reorder: boolean;
  readonly slowDisk: number;
  readonly crash: number;
  readonly roleKill: number;
  readonly partition: number;
  readonly wipe: number;
  readonly reconfigure: 'never' | 'readmit' | 'roles';
  readonly cut: number;
  readonly campaign: number;
}

const ROLES: readonly Role[] = ['acceptor', 'learner', 'proposer'];

/** Draw the weather that belongs to a seed. */
export function weatherOf(seed: number): Weather {
  const random = seededRandom(seed * 7919 + 17);
  const oneOf = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
  const reconfigure = oneOf<Weather['reconfigure']>('never', 'never', 'readmit', 'roles');
  return {
    size: 1 + (seed % 9),
    ticks: 400,
    alpha: oneOf(1, 3, 8),
    loss: oneOf(0, 0.02, 0.2),
    doubling: oneOf(0, 0.05, 0.3),
    delay: oneOf(0.05, 0.2, 0.6),
    reorder: oneOf(true, false),
    slowDisk: oneOf(0.1, 0.3, 0.7),
    crash: oneOf(0, 0.003, 0.02),
    roleKill: oneOf(0, 0.005, 0.05),
    partition: oneOf(0, 0.01, 0.05),
    wipe: reconfigure === 'roles' ? 0 : oneOf(0, 0.01, 0.03),
    reconfigure,
    cut: oneOf(0, 0.05),
    campaign: oneOf(0, 0, 0.03),
  };
}

export interface StormReport {
  readonly cluster: Cluster;
  readonly slots: number;
  readonly reads: number;
  /** Ticks from the end of the faults until all was well. */
  readonly calmTicks: number;
}

/** Run the storm of a seed to its end; throws at the first broken rule. */
export function runStorm(seed: number, weather = weatherOf(seed)): StormReport {
  const storm = new Storm(seed, weather);
  storm.rage();
  const calmTicks = storm.calm();
  const { cluster } = storm;
  return { cluster, slots: cluster.oracle.learnedThrough, reads: cluster.confirmedReads.length, calmTicks };
}

class Storm {
  readonly cluster: Cluster;
  private readonly random: () => number;
  private readonly proposed: Configuration[] = [];
  private values = 0;

  constructor(
    seed: number,
    private readonly weather: Weather,
  ) {
    this.cluster = new Cluster(weather.size, { seed, alpha: weather.alpha, inFlightSlots: 4 });
    this.random = seededRandom(seed * 31 + 5);
  }

  rage(): void {
    for (let tick = 0; tick < this.weather.ticks; tick++) {
      for (const id of this.cluster.ids) this.tickOne(id);
      this.moveNetwork();
      this.disturb();
    }
  }

  /** The faults stop. Returns the ticks it took until a new value was chosen and known to everybody. */
  calm(): number {
    const { cluster } = this;
    cluster.heal();
    for (const replica of cluster.replicas) {
      if (!replica.node) cluster.restart(replica.id);
      for (const role of ROLES) cluster.restoreRole(replica.id, role);
    }
    let slot = 0;
    let ticks = 0;
    const isDone = (): boolean => {
      ticks += 1;
      if (slot === 0 || !cluster.oracle.chosen.has(slot)) slot = this.proposeSomewhere() ?? slot;
      return (
        slot > 0 &&
        cluster.replicas.every((replica) => replica.up.chosenThrough >= slot && replica.applied >= slot)
      );
    };
    assert.ok(cluster.runUntil(isDone, 1500), `no progress after the faults stopped: ${this.describe()}`);
    return ticks;
  }

  private proposeSomewhere(): number | null {
    for (const id of this.cluster.leaders) {
      if (this.cluster.node(id).isEstablished) return this.cluster.propose(id, batch(`calm${++this.values}`));
    }
    return null;
  }

  private chance(probability: number): boolean {
    return this.random() < probability;
  }

  private pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)] as T;
  }

  private tickOne(id: ReplicaId): void {
    const { cluster, weather } = this;
    if (this.chance(0.9)) cluster.tick(id);
    if (!this.chance(weather.slowDisk)) cluster.sync(id);
    const { node } = cluster.at(id);
    if (!node) return;
    if (this.chance(0.3)) cluster.propose(id, batch(`v${++this.values}`));
    if (node.isLeading && this.chance(0.2)) cluster.read(id);
    if (this.chance(weather.campaign)) cluster.step(id, { type: 'campaign' });
    if (this.chance(weather.campaign)) cluster.step(id, { type: 'transfer', to: null });
    if (this.chance(weather.cut)) cluster.cut(id, cluster.at(id).applied - 5);
  }

  private moveNetwork(): void {
    const { cluster, weather } = this;
    const under = cluster.packets;
    cluster.packets = [];
    const late: Packet[] = [];
    if (weather.reorder) this.shuffle(under);
    for (const packet of under) {
      if (this.chance(weather.loss)) continue;
      if (this.chance(weather.delay)) {
        late.push(packet);
        continue;
      }
      cluster.arrive(packet);
      if (this.chance(weather.doubling)) late.push(packet);
    }
    cluster.packets = [...late, ...cluster.packets].slice(-4000);
  }

  private shuffle(list: Packet[]): void {
    for (let i = list.length - 1; i > 0; i--) {
      const j = Math.floor(this.random() * (i + 1));
      [list[i], list[j]] = [list[j] as Packet, list[i] as Packet];
    }
  }

  private disturb(): void {
    const { cluster, weather } = this;
    for (const { id, node, down } of cluster.replicas) {
      if (node && this.chance(weather.crash)) cluster.crash(id);
      else if (!node && this.chance(0.1)) cluster.restart(id);
      if (this.chance(weather.roleKill)) cluster.killRole(id, this.pick(ROLES));
      for (const role of down) if (this.chance(0.15)) cluster.restoreRole(id, role);
    }
    if (this.chance(weather.partition)) this.cutLinks();
    if (this.chance(0.1)) cluster.heal();
    if (this.chance(weather.wipe)) this.wipeOne();
    if (weather.reconfigure !== 'never' && this.chance(0.05)) this.reconfigure();
  }

  private cutLinks(): void {
    const { cluster } = this;
    const kind = this.random();
    if (kind < 0.4) cluster.partition(cluster.ids.filter(() => this.chance(0.4)));
    else if (kind < 0.7)
      for (const a of cluster.ids)
        for (const b of cluster.ids)
          if (this.chance(0.2)) cluster.block(a, b);
          else {
            const deaf = this.pick(cluster.ids);
            for (const other of cluster.ids) cluster.block(other, deaf);
          }
  }

  /** Only as long as every configuration that may be in force keeps a majority of those it names. */
  private wipeOne(): void {
    const { cluster } = this;
    const victim = this.pick(cluster.replicas);
    const { latest, all } = cluster.oracle.history;
    const lost = cluster.replicas.filter((replica) => replica.lives > 0 || replica === victim).length;
    if (!latest && lost * 2 >= cluster.replicas.length) return;
    const pending = this.proposed.filter((configuration) => configuration.replaces === latest?.slot);
    const possible = [...all.map((entry) => entry.configuration), ...pending];
    if (possible.every((configuration) => this.survives(configuration, victim.id))) cluster.wipe(victim.id);
  }

  private survives(configuration: Configuration, victim: ReplicaId): boolean {
    const voters = votersOf(configuration);
    const intact = voters.filter(
      ({ replicaId, incarnation }) =>
        replicaId !== victim && this.cluster.at(replicaId).identity.incarnation === incarnation,
    );
    return intact.length * 2 > voters.length;
  }

  private reconfigure(): void {
    const { cluster, weather } = this;
    const leader = cluster.leaders.find((id) => cluster.node(id).canPropose);
    const latest = leader === undefined ? undefined : cluster.node(leader).history.latest;
    if (leader === undefined || !latest) return;
    const { configuration, slot } = latest;
    const changed = this.pick(configuration.members);
    const members = configuration.members.map((member) => {
      if (member !== changed) return member;
      if (weather.reconfigure === 'readmit') return { ...member, ...cluster.at(member.replicaId).identity };
      return { ...member, role: this.pick(['voter', 'learner', 'witness'] as const) };
    });
    if (members.filter((member) => member.role === 'voter').length * 2 <= members.length) return;
    const next = { ...configuration, replaces: slot, members };
    this.proposed.push(next);
    cluster.propose(leader, { type: 'configuration', configuration: next });
  }

  private describe(): string {
    const lines = this.cluster.replicas.map((replica) => {
      const status = replica.node?.status();
      return `${replica.id} life ${replica.lives} applied ${replica.applied} ${JSON.stringify(status)}`;
    });
    return `${JSON.stringify(this.weather)}\n${lines.join('\n')}`;
  }
}
