/**
 * What a drill has in its hands while it runs: the cluster, its links, the load, chance and time; and where it says what
 * it did and what it found. Whoever wants to know of an injection is told at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DrillCluster } from './cluster.js';
import type { Load } from './load.js';
import type { Network } from './network.js';
import { pick } from './random.js';
import type { ReplicaState } from './replica-state.js';

/** Something that was done to the cluster. */
export interface Injection {
  /** Since the load began. */
  readonly atMs: number;
  readonly what: string;
}

/** Something that has to hold, and whether it did. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** For people: what was found. */
  readonly detail: string;
}

export interface StageParts {
  readonly cluster: DrillCluster;
  readonly network: Network;
  readonly load: Load;
  readonly random: () => number;
  readonly dir: string;
  readonly durationMs: number;
  readonly now: () => number;
  readonly onInjection: (injection: Injection) => void;
}

const LEADER_MS = 20_000;
const READY_MS = 30_000;

export class Stage {
  readonly cluster: DrillCluster;
  readonly network: Network;
  readonly load: Load;
  readonly dir: string;
  readonly random: () => number;
  readonly injections: Injection[] = [];
  readonly checks: Check[] = [];

  constructor(private readonly parts: StageParts) {
    ({
      cluster: this.cluster,
      network: this.network,
      load: this.load,
      dir: this.dir,
      random: this.random,
    } = parts);
  }

  get now(): number {
    return this.parts.now();
  }

  get isOver(): boolean {
    return this.now >= this.parts.durationMs;
  }

  get ids(): readonly number[] {
    return this.cluster.ids;
  }

  /** How many voters may be missing while the others go on. */
  get tolerated(): number {
    return Math.floor((this.ids.length - 1) / 2);
  }

  /** Say what is being done, right before it is. */
  inject(what: string): void {
    const injection = { atMs: this.now, what };
    this.injections.push(injection);
    this.parts.onInjection(injection);
  }

  /** Note that something holds, or not. Of several with one name the first that does not hold is kept, else the last. */
  check(name: string, ok: boolean, detail: string): void {
    const at = this.checks.findIndex((check) => check.name === name);
    if (at < 0) this.checks.push({ name, ok, detail });
    else if (this.checks[at]?.ok === true) this.checks[at] = { name, ok, detail };
  }

  /** A pause of `fromMs` to `toMs`. */
  pause(fromMs: number, toMs = fromMs): Promise<void> {
    return sleep(fromMs + this.random() * (toMs - fromMs));
  }

  pick(count: number, from: readonly number[] = this.ids): number[] {
    return pick(this.random, from, count);
  }

  pickOne(from: readonly number[] = this.ids): number {
    return this.pick(1, from)[0] ?? 1;
  }

  others(...than: readonly number[]): number[] {
    return this.ids.filter((id) => !than.includes(id));
  }

  /** @throws Error when there is none for long */
  async leader(): Promise<number> {
    let leader = 0;
    const found = await this.cluster.waitFor(LEADER_MS, async () => {
      leader = await this.cluster.leaderNow();
      return leader !== 0;
    });
    if (!found) throw new Error(this.cluster.surprises[0] ?? `there was no leader for ${LEADER_MS} ms`);
    return leader;
  }

  /** Start replicas that were ended; founding members talk through their proxies. */
  restart(...ids: readonly number[]): void {
    for (const id of ids) this.cluster.start(id, this.network.dialOf(id));
  }

  /** Until these replicas can answer requests. @throws Error when that takes too long */
  async ready(...ids: readonly number[]): Promise<void> {
    await this.until(`replicas ${ids.join(', ')} are ready`, async () => {
      const states = await this.cluster.states(ids);
      return states.length === ids.length && states.every((state) => state.ready);
    });
  }

  /** Until what `id` says of itself satisfies `isSo`. @throws Error when that takes too long */
  async untilState(id: number, what: string, isSo: (state: ReplicaState) => boolean): Promise<void> {
    await this.until(`replica ${id} ${what}`, async () => {
      const state = await this.cluster.state(id);
      return state !== null && isSo(state);
    });
  }

  private async until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    if (await this.cluster.waitFor(READY_MS, isSo)) return;
    throw new Error(this.cluster.surprises[0] ?? `waited ${READY_MS} ms in vain until ${what}`);
  }
}
