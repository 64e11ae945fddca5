/**
 * Failing on purpose, for drills and demos: every intervalMs, with probability failRate, one of the roles is killed;
 * after downMs it is built again from disk. A role that is down is not killed again. Off (failRate 0) unless asked for.
 * Never touches the disk or the network itself: the replica drops and rebuilds.
 */
import type { PaxosRole, Random, ReplicaApi } from '@kvd/replica';
import type { ChaosSettings } from './options.js';

/** Timers, as the test replaces them. */
export interface ChaosClock {
  after(ms: number, callback: () => void): { cancel(): void };
}

export const systemClock: ChaosClock = {
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

export interface ChaosPorts {
  readonly replica: Pick<ReplicaApi, 'killRole' | 'restoreRole' | 'campaign'>;
  readonly random: Random;
  readonly clock: ChaosClock;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class Chaos {
  readonly #ports: ChaosPorts;
  /** Roles down by this hand, with the timer that restores each. */
  readonly #down = new Map<PaxosRole, { cancel(): void }>();
  #settings: ChaosSettings;
  #next: { cancel(): void } | null = null;
  #stopped = false;
  #kills = 0;

  constructor(settings: ChaosSettings, ports: ChaosPorts) {
    this.#settings = settings;
    this.#ports = ports;
    this.#schedule();
  }

  get settings(): ChaosSettings {
    return this.#settings;
  }

  get down(): readonly PaxosRole[] {
    return [...this.#down.keys()];
  }

  /** How many roles were killed so far. */
  get kills(): number {
    return this.#kills;
  }

  /** Works from now on; what is down already comes back at its time. */
  configure(settings: ChaosSettings): void {
    this.#settings = settings;
    this.#ports.log('chaos-set', { ...settings });
    this.#schedule();
  }

  /** Stand for leader now, probe or not: makes two replicas compete. */
  campaign(): void {
    this.#ports.replica.campaign();
  }

  /** No more kills, and no restores: the replica is about to stop. */
  stop(): void {
    this.#stopped = true;
    this.#next?.cancel();
    for (const timer of this.#down.values()) timer.cancel();
    this.#down.clear();
  }

  #schedule(): void {
    this.#next?.cancel();
    this.#next = null;
    if (this.#stopped || this.#settings.failRate === 0) return;
    this.#next = this.#ports.clock.after(this.#settings.intervalMs, () => {
      this.#throwDice();
      this.#schedule();
    });
  }

  #throwDice(): void {
    const { random } = this.#ports;
    if (random() >= this.#settings.failRate) return;
    const up = this.#settings.roles.filter((role) => !this.#down.has(role));
    const role = up[Math.floor(random() * up.length)];
    if (role !== undefined) this.#kill(role);
  }

  #kill(role: PaxosRole): void {
    const { replica, clock, log } = this.#ports;
    const { downMs } = this.#settings;
    this.#kills += 1;
    log('chaos-kill', { role, downMs });
    replica.killRole(role);
    const timer = clock.after(downMs, () => {
      this.#down.delete(role);
      log('chaos-restore', { role });
      replica.restoreRole(role);
    });
    this.#down.set(role, timer);
  }
}

/** A repeatable generator (mulberry32), for --chaos-seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
