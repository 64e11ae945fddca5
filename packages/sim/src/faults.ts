/**
 * Lets the faults of a plan strike, and takes them back: whatever is still wrong when the calm begins is put right then.
 * Chooses victims so that the cluster can come back: no more disks are lost at once than the members survive (budget.ts).
 */
import type { Host } from './host.js';
import { MARK } from './journal.js';
import type { Fault, Target } from './plan.js';
import type { World } from './world.js';

export class FaultInjector {
  /** Taken back at the latest when the calm begins. */
  private readonly undo = new Set<() => void>();
  private readonly swapped = new Set<Host>();
  /** When a disk was lost last. */
  diskLostMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly world: World) {}

  schedule(): void {
    const { clock, plan, journal } = this.world;
    for (const [i, fault] of plan.faults.entries()) {
      clock.at(fault.atMs, () => {
        journal.mark(MARK.fault, 0, i);
        journal.say('fault', () => JSON.stringify(fault));
        this.strike(fault);
      });
    }
    clock.at(plan.calmMs, () => this.calm());
  }

  /** Is it right that this machine cannot start? It holds somebody else's directory. */
  expectsRefusal(host: Host): boolean {
    return this.swapped.has(host);
  }

  private strike(fault: Fault): void {
    const { world } = this;
    switch (fault.kind) {
      case 'crash': {
        const host = this.find(fault.replica);
        const die = (): void => {
          host.crash(fault.writes, fault.sideLags);
          this.keepDown(host, fault.downMs);
        };
        if (fault.fuse === null) die();
        else host.light(fault.fuse, die);
        return;
      }
      case 'crash-all':
        for (const host of world.hosts) {
          host.crash(fault.writes, true);
          this.keepDown(host, fault.downMs);
        }
        return;
      case 'stop': {
        const host = this.find(fault.replica);
        host.stop();
        this.keepDown(host, fault.downMs);
        return;
      }
      case 'partition':
        this.partition(fault.side, fault.oneWay, fault.noticed, fault.forMs);
        return;
      case 'flap':
        this.flap(this.find(fault.replica), fault.periodMs, world.clock.nowMs + fault.forMs);
        return;
      case 'slow-disk': {
        const { disk } = this.find(fault.replica);
        disk.slowness = fault.factor;
        this.later(fault.forMs, () => {
          disk.slowness = 1;
        });
        return;
      }
      case 'stuck-disk': {
        const { disk } = this.find(fault.replica);
        disk.setStuck(true);
        this.later(fault.forMs, () => disk.setStuck(false));
        return;
      }
      case 'write-error': {
        const { disk } = this.find(fault.replica);
        disk.failWrites(fault.part, fault.error, fault.extent);
        this.later(fault.forMs, () => disk.healPart(fault.part));
        return;
      }
      case 'read-error': {
        const { disk } = this.find(fault.replica);
        disk.failReads(fault.part);
        this.later(fault.forMs, () => disk.healPart(fault.part));
        return;
      }
      case 'flip-bit':
      case 'lose-tail':
      case 'wipe':
        this.damage(fault);
        return;
      case 'roll-back':
        this.rollBack(this.find(fault.replica), fault.ageMs, fault.downMs);
        return;
      case 'diverge':
        // Two that differ alike are a majority of three.
        if (world.states.unrepaired.length === 0) this.find(fault.replica).diverge();
        return;
      case 'swap-disks':
        this.swapDisks(this.find(fault.replica), this.find(fault.other), fault.forMs);
        return;
      case 'pause': {
        const host = this.find(fault.replica);
        host.pause();
        this.later(fault.forMs, () => host.resume());
        return;
      }
      case 'clock-jump':
        this.find(fault.replica).wallOffsetMs += fault.byMs;
        return;
      case 'kill-role': {
        const { replica } = this.find(fault.replica);
        replica?.killRole(fault.role);
        this.later(fault.downMs, () => replica?.restoreRole(fault.role));
        return;
      }
      case 'campaign':
        this.find(fault.replica).replica?.campaign();
        return;
      case 'storm': {
        const { network, plan } = world;
        network.weather = fault.weather;
        this.later(fault.forMs, () => {
          network.weather = plan.weather;
        });
        return;
      }
      case 'members':
        world.operator.ask(fault.ask);
        return;
      case 'join':
        world.operator.start(this.find(fault.replica));
        return;
      case 'return': {
        const host = this.find(fault.replica);
        if (host.isRemoved) host.install();
        return;
      }
      case 'twin':
        this.twin(fault);
    }
  }

  private damage(fault: Extract<Fault, { kind: 'flip-bit' | 'lose-tail' | 'wipe' }>): void {
    const host = this.find(fault.replica);
    const { disk } = host;
    if (fault.kind === 'lose-tail' && !disk.isSideCurrent) return;
    if (!this.mayLose(host)) return;
    host.loseDisk(fault.kind === 'wipe');
    const live = fault.kind === 'flip-bit' && fault.live && (fault.part === 'log' || fault.part === 'state');
    if (!live) host.crash('some', false);
    switch (fault.kind) {
      case 'wipe':
        disk.wipe();
        if (!this.world.budget.isRemembered(host)) host.joinNext();
        break;
      case 'lose-tail':
        disk.loseTail(fault.part, fault.batches);
        break;
      case 'flip-bit':
        disk.flipBit(fault.part, fault.where);
    }
    this.world.journal.say(host.id, () => 'its disk is damaged');
    if (!live) this.keepDown(host, fault.downMs);
  }

  private rollBack(host: Host, ageMs: number, downMs: number): void {
    const { world } = this;
    const copy = host.disk.copy();
    world.clock.after(ageMs, () => {
      if (!this.mayLose(host)) return;
      host.loseDisk(true);
      host.crash('all', false);
      host.disk.memory = copy;
      if (host.identity !== null) {
        world.votes.forget(host.identity);
        world.rollbacks.onPutBack(host.identity);
      }
      this.keepDown(host, downMs);
    });
  }

  private swapDisks(a: Host, b: Host, forMs: number): void {
    if (a === b) return;
    const swap = (): void => {
      for (const host of [a, b]) host.crash();
      [a.disk.memory, b.disk.memory] = [b.disk.memory, a.disk.memory];
      for (const host of [a, b]) host.start();
    };
    for (const host of [a, b]) this.swapped.add(host);
    swap();
    this.later(forMs, () => {
      swap();
      for (const host of [a, b]) this.swapped.delete(host);
    });
  }

  /** With an old directory, or a new one, and the number of another that is there. */
  private twin({ replica, disk, afterMs, forMs }: Extract<Fault, { kind: 'twin' }>): void {
    const { world } = this;
    const host = this.find(replica);
    const twin = world.addTwin(host);
    if (disk === 'old') {
      if (!this.mayLose(host)) return;
      host.crash('all', false);
      twin.disk.memory = host.disk.copy();
      host.loseDisk(true);
      host.disk.wipe();
      this.keepDown(host, 1);
    }
    world.clock.after(disk === 'old' ? afterMs : 0, () => twin.install());
    this.later(afterMs + forMs, () => {
      twin.isInstalled = false;
      twin.crash();
    });
  }

  private mayLose(host: Host): boolean {
    const { world } = this;
    if (!world.budget.allows(host)) return false;
    this.diskLostMs = world.clock.nowMs;
    return true;
  }

  private partition(targets: readonly Target[], oneWay: boolean, noticed: boolean, forMs: number): void {
    const side = new Set(targets.map((target) => this.find(target)));
    const pairs: [number, number][] = [];
    for (const a of side) {
      for (const b of this.world.machines) {
        if (side.has(b)) continue;
        pairs.push([a.number, b.number]);
        if (!oneWay) pairs.push([b.number, a.number]);
      }
    }
    const { network } = this.world;
    for (const [a, b] of pairs) network.block(a, b, noticed);
    this.later(forMs, () => {
      for (const [a, b] of pairs) network.unblock(a, b);
    });
  }

  private flap(host: Host, periodMs: number, untilMs: number): void {
    const { clock, plan } = this.world;
    if (clock.nowMs >= Math.min(untilMs, plan.calmMs)) return;
    this.partition([host.id], false, true, periodMs / 2);
    clock.after(periodMs, () => this.flap(host, periodMs, untilMs));
  }

  /** Starts it again after a while; two faults that hold it down both have to end. */
  private keepDown(host: Host, forMs: number): void {
    host.heldDown += 1;
    this.later(forMs, () => {
      host.heldDown -= 1;
      host.start();
    });
  }

  private later(afterMs: number, undo: () => void): void {
    const once = (): void => {
      if (this.undo.delete(once)) undo();
    };
    this.undo.add(once);
    this.world.clock.after(afterMs, once);
  }

  private calm(): void {
    const { world } = this;
    world.journal.say('fault', () => 'calm: from here on nothing fails');
    // Each takes itself off the list.
    for (const undo of Array.from(this.undo)) undo();
    for (const host of world.machines) {
      host.disarm();
      host.disk.heal();
      host.start();
    }
    const { delayMs, jitterMs } = world.plan.weather;
    world.network.weather = { loss: 0, duplication: 0, reordering: 0, delayMs, jitterMs };
  }

  /** The leader of the highest ballot; without one, anybody. */
  find(target: Target): Host {
    const { hosts } = this.world;
    if (target !== 'leader') return hosts[(target - 1) % hosts.length] as Host;
    let leader: Host | null = null;
    let highest = 0;
    for (const host of hosts) {
      const counter = counterOf(host);
      if (counter <= highest) continue;
      highest = counter;
      leader = host;
    }
    return leader ?? (hosts[0] as Host);
  }
}

/** Of the ballot that it leads with; 0: it does not lead. */
function counterOf({ replica }: Host): number {
  return replica?.node.isLeading === true ? Number(replica.node.status().ballot.split('.')[0]) : 0;
}
