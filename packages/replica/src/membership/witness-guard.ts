/**
 * What keeps values that only a witness may still have (docs/MEMBERSHIP.md, "Witnesses"): through which slot logs may be cut
 * where there is one (W1), and when a configuration may be proposed that has, had or gets one (W3).
 */
import type { Configuration, Member, Slot } from '@kvd/paxos';
import { hasWitness, memberOf } from '@kvd/paxos';
import type { MembershipHost, MembershipOptions } from './membership-host.js';
import type { Standing } from './standing.js';

/** Election time-outs between two moments of quiet. */
const QUIET_EVERY = 20;

/** Why a configuration has to wait, and whether it helps to wait. */
export interface Hindrance {
  readonly reason: string;
  readonly passes: boolean;
}

interface Said {
  readonly through: Slot;
  readonly slot: Slot;
}

export class WitnessGuard {
  /** Through it every data voter of the configurations up to that of `slot` holds everything durably. */
  private held: Said = { through: 0, slot: 0 };
  private ticks = 0;
  private quietTicks = 0;
  private quietAgainTick = 0;

  constructor(
    private readonly options: MembershipOptions,
    private readonly host: MembershipHost,
    private readonly standing: Standing,
  ) {}

  /**
   * W1, for every configuration that is known here.
   *
   * Why alpha below the ones that who said it did not know: no data voter was added that did not hold that much (W3).
   */
  get heldThrough(): Slot {
    let { through } = this.held;
    for (const { slot, configuration } of this.host.known)
      if (slot > this.held.slot) through = Math.min(through, slot - configuration.alpha);
    return Math.max(0, through);
  }

  /** Nothing else is to be proposed for a moment, so that everybody comes to know what is chosen. (W3) */
  get wantsQuiet(): boolean {
    return this.quietTicks > 0;
  }

  tick(): void {
    this.ticks += 1;
    this.quietTicks = Math.max(0, this.quietTicks - 1);
  }

  endQuiet(): void {
    this.quietTicks = 0;
  }

  /** W1. A data voter that never said how far its disk goes holds everything back. */
  update(proposed: Configuration | null): void {
    const configurations = [...this.host.configurations, ...(proposed ? [proposed] : [])];
    let held = Number.POSITIVE_INFINITY;
    for (const configuration of configurations)
      for (const member of configuration.members)
        if (member.role === 'voter') held = Math.min(held, this.standing.durableThrough(member) ?? 0);
    if (held !== Number.POSITIVE_INFINITY) this.hear({ through: held, slot: this.host.latest?.slot ?? 0 });
  }

  /** What was once durable stays so; of two sayings the one that goes further here counts. */
  hear(said: Said): void {
    const before = this.held;
    const known = this.heldThrough;
    this.held = said;
    if (this.heldThrough < known || (this.heldThrough === known && said.slot < before.slot))
      this.held = before;
  }

  /**
   * W3: where a witness is, was, or comes, whoever becomes a data voter, and each of them when the first witness comes,
   * has to hold durably what may have been cut or skipped, before the configuration is proposed. Who is a data voter beside
   * a witness already bounds all cuts (W1).
   *
   * Why so much is enough: without a witness nobody cuts within alpha slots of what it knows, so that whoever does not
   * know of this configuration yet cuts below `proposed slot - alpha`, and through there they all are. With little in
   * flight that is reached by letting them catch up for a moment.
   */
  hindranceOf(next: Configuration): Hindrance | null {
    const { host } = this;
    if (![next, ...host.configurations].some(hasWitness)) return null;
    const margin = Math.floor(next.alpha / 2);
    const through = Math.max(host.chosenThrough - margin, this.heldThrough);
    const newcomers = next.members.filter((member) => member.role === 'voter' && !this.boundsCuts(member));
    if (newcomers.length === 0) return null;
    const behind = newcomers.find((member) => (this.standing.durableThrough(member) ?? -1) < through);
    const crowded = host.proposedThrough + 1 > host.chosenThrough + next.alpha - margin;
    if (!behind && !crowded) return null;
    const passes = behind === undefined || this.standing.isConnected(behind);
    if (passes && this.ticks >= this.quietAgainTick) {
      this.quietTicks = this.options.electionTicks;
      this.quietAgainTick = this.ticks + QUIET_EVERY * this.options.electionTicks;
    }
    const reason = behind
      ? `replica ${behind.replicaId} may lack what a witness is free to forget, and ${passes ? 'catches up' : 'cannot be reached'}`
      : 'too much is in flight';
    return { reason, passes };
  }

  /** It is a data voter beside a witness in every configuration that is in force or to come. */
  private boundsCuts(member: Member): boolean {
    return this.host.configurations.every(
      (configuration) => hasWitness(configuration) && memberOf(configuration, member)?.role === 'voter',
    );
  }
}
