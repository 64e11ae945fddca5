/**
 * The one who runs the cluster: starts machines that are to join, asks for changes of the members until they are done or
 * seem hopeless, and admits again what lost its disk where the cluster is not to do so by itself. Knows who the members
 * are, as somebody at the console would; asks through the same requests as kvctl.
 *
 * What it has asked for may be done at any time for a while: `prospects` says what may come of it, so that no disk is lost
 * that the configuration to come could not do without.
 */
import type { Configuration, Member, ReplicaId } from '@kvd/paxos';
import {
  decodeServerFrame,
  encodeRequest,
  ERRORS,
  type MemberChange,
  type MembersReport,
  type Response,
} from '@kvd/protocol';
import type { Host } from '../host.js';
import type { MemberAsk } from '../plan.js';
import type { Random } from '../random.js';
import { safety } from '../violation.js';
import type { World } from '../world.js';

const OPERATOR = 999;
/** All know by then that a machine died: its connections are found dead. */
const NEWS_MS = 2000;
const REFUSALS_MAX = 12;

interface Asked {
  readonly change: MemberChange;
  readonly deadlineMs: number;
  refusals: number;
  /** It may be done until then, whatever became of it. */
  lingersMs: number;
  lastAsked: ReplicaId;
  over: boolean;
}

export class Operator {
  readonly id = OPERATOR;
  readonly slowMs = 0;
  /** Changes that were done, and those that were refused to the end. */
  readonly finished: { readonly change: MemberChange; readonly refused: string }[] = [];
  private readonly asked: Asked[] = [];
  private readonly waiting = new Map<number, Asked>();
  private nextRequestId = 1;

  constructor(
    private readonly world: World,
    private readonly random: Random,
  ) {}

  get isIdle(): boolean {
    return this.asked.every(({ over }) => over);
  }

  ask(ask: MemberAsk): void {
    const change = this.changeFor(ask);
    // Nothing new is wanted once nothing fails any more.
    if (change !== null) this.begin(change, this.world.plan.calmMs);
  }

  /** Where the cluster does not do it by itself. */
  readmitLost(): void {
    const { world } = this;
    for (const { replicaId } of world.votes.chain.latest?.configuration.members ?? []) {
      const isAsked = this.asked.some(
        ({ change, over }) => !over && change.type === 'readmit' && change.replicaId === replicaId,
      );
      if (this.hasOtherDisk(replicaId) && !isAsked)
        this.begin({ type: 'readmit', replicaId }, Number.POSITIVE_INFINITY);
    }
    world.clock.after(world.plan.electionTimeoutMs * 2, () => this.readmitLost());
  }

  /** Who was told that it was removed just when it was added again has stopped for good, and is a learner: with a new disk. */
  returnRemoved(): void {
    const { votes, hosts, clock, plan } = this.world;
    for (const { replicaId, incarnation, role } of votes.chain.latest?.configuration.members ?? []) {
      const host = hosts[replicaId - 1];
      if (host?.isRemoved !== true || role !== 'learner' || host.identity?.incarnation !== incarnation)
        continue;
      // Its directory opens no more, so nothing is lost with it.
      host.replaceDisk();
      host.install();
    }
    clock.after(plan.electionTimeoutMs * 2, () => this.returnRemoved());
  }

  /** It is a member, and is there with another disk than the one that is. */
  private hasOtherDisk(id: ReplicaId): boolean {
    const { votes, hosts } = this.world;
    const host = hosts[id - 1];
    const member = votes.chain.latest?.configuration.members.find(({ replicaId }) => replicaId === id);
    return member !== undefined && host?.isUp === true && host.identity?.incarnation !== member.incarnation;
  }

  /** A spare, or one that was removed; the disk of the latter is of no use any more. Null: it cannot be had now. */
  start(host: Host): Host | null {
    if (host.isInstalled && !host.isRemoved) return host;
    if (host.isRemoved) {
      if (!this.world.budget.allows(host)) return null;
      host.replaceDisk();
    }
    host.install();
    return host;
  }

  /** What the members may be soon, given who they are. */
  prospects(latest: Configuration): Configuration[] {
    const { nowMs } = this.world.clock;
    const open = this.asked.filter(({ over, lingersMs }) => !over || lingersMs > nowMs);
    const each = open.map(({ change }) => this.after(latest, change));
    return [...each, open.reduce((before, { change }) => this.after(before, change), latest)];
  }

  onFrame(frame: Uint8Array): void {
    decodeServerFrame(frame, {
      onWelcome: () => undefined,
      onWatchMessage: () => undefined,
      onResponse: (requestId, response) => {
        const asked = this.waiting.get(requestId);
        this.waiting.delete(requestId);
        if (asked !== undefined && !asked.over) this.onResponse(asked, response);
      },
    });
  }

  private begin(change: MemberChange, latestMs: number): void {
    const { clock, plan, journal } = this.world;
    journal.say('operator', () => `wants ${JSON.stringify(change)}`);
    const deadlineMs = Math.min(latestMs, clock.nowMs + plan.electionTimeoutMs * 40);
    const asked = { change, deadlineMs, refusals: 0, lingersMs: 0, lastAsked: 0, over: false };
    this.asked.push(asked);
    this.attempt(asked);
  }

  private attempt(asked: Asked): void {
    const { world, random } = this;
    const { clock, plan } = world;
    if (asked.over) return;
    const { change } = asked;
    const isLate = clock.nowMs > plan.calmMs;
    const isMoot = isLate && change.type === 'readmit' && !this.hasOtherDisk(change.replicaId);
    if (clock.nowMs > asked.deadlineMs || isMoot) {
      asked.over = true;
      return;
    }
    const again = (): void => {
      clock.after(plan.electionTimeoutMs * random.between(0.3, 1.5), () => this.attempt(asked));
    };
    const drawn = random.pick(world.hosts);
    // Who was no help is not asked again at once: a joiner may know of no leader for long.
    const host = drawn.id === asked.lastAsked ? (world.hosts[drawn.id % world.hosts.length] ?? drawn) : drawn;
    // Somebody who looks before he asks: who has just lost a disk is not to lose a voter as well.
    if (!host.isUp || clock.nowMs < world.faults.diskLostMs + NEWS_MS) return again();
    asked.lastAsked = host.id;
    const timeoutMs = plan.electionTimeoutMs * 4;
    const request = { type: 'members', timeoutMs, change, plan: false, force: false } as const;
    const requestId = this.nextRequestId++;
    asked.lingersMs = clock.nowMs + timeoutMs * 4 + NEWS_MS + world.longestStallMs * 2;
    this.waiting.set(requestId, asked);
    world.connections.request(this, host.id, encodeRequest(requestId, request));
    clock.after(timeoutMs * 1.5, () => {
      if (this.waiting.delete(requestId)) again();
    });
  }

  private onResponse(asked: Asked, response: Response): void {
    const { world, random } = this;
    const { change } = asked;
    if (response.type === 'members') {
      asked.over = true;
      this.judge(response.report);
      this.finished.push({ change, refused: '' });
      return;
    }
    if (response.type !== 'error')
      throw safety('answers', `a request about members was answered ${response.type}`);
    const isRefusal = response.code === 'KVD_MEMBERS_REFUSED';
    if (!isRefusal && !ERRORS[response.code].retry)
      throw safety('answers', `${JSON.stringify(change)} was answered ${response.code}: ${response.message}`);
    if (isRefusal) asked.refusals += 1;
    if (asked.refusals > REFUSALS_MAX) {
      asked.over = true;
      this.finished.push({ change, refused: response.message });
      return;
    }
    world.clock.after(world.plan.electionTimeoutMs * random.between(0.5, 2), () => this.attempt(asked));
  }

  /** What is told of the configuration is what was chosen; and what is said to be done is. */
  private judge({ slot, done, members }: MembersReport): void {
    const { chain, members: rules } = this.world.votes;
    const entry = chain.all.find((one) => one.slot === slot);
    const shown = members.map(({ id, role, incarnation }) => `${id} ${role} ${incarnation}`).join(', ');
    const right = entry?.configuration.members
      .map(({ replicaId, role, incarnation }) => `${replicaId} ${role} ${incarnation}`)
      .join(', ');
    if (entry === undefined || shown !== right)
      throw safety('answers', `the members are said to be ${shown} by slot ${slot}, they are ${right}`);
    if (done && !rules.isKnown(entry))
      throw safety('done', `the change of slot ${slot} is said to be done; no prepare quorum has it on disk`);
  }

  // What makes sense now

  private changeFor(ask: MemberAsk): MemberChange | null {
    if (ask.type === 'accept-quorum') return ask;
    if (ask.type === 'add') {
      const host = this.newcomer(ask.replica);
      return host && { type: 'add', replicaId: host.id, promote: ask.promote, replaces: 0 };
    }
    if (ask.type === 'replace') {
      const host = this.newcomer(ask.replica);
      const { id: replaces } = this.world.faults.find(ask.leaves);
      return host && { type: 'add', replicaId: host.id, promote: true, replaces };
    }
    const { id } = this.world.faults.find(ask.replica);
    if (ask.type === 'promote') return { type: 'promote', replicaId: this.learner(id) };
    return { type: ask.type, replicaId: id };
  }

  private newcomer(preferred: ReplicaId): Host | null {
    const { world } = this;
    const { chain } = world.votes;
    const free = world.hosts.filter((host) => {
      if (chain.latest?.configuration.members.some(({ replicaId }) => replicaId === host.id)) return false;
      // One that was removed and has not been told yet may still be needed.
      return !host.isInstalled || host.isRemoved || !chain.everNamed(host.identity);
    });
    const host = free.find(({ id }) => id === preferred) ?? free[0];
    return host === undefined ? null : this.start(host);
  }

  private learner(preferred: ReplicaId): ReplicaId {
    const learners = (this.world.votes.chain.latest?.configuration.members ?? []).filter(
      ({ role }) => role === 'learner',
    );
    const chosen = learners.find(({ replicaId }) => replicaId === preferred) ?? learners[0];
    return chosen?.replicaId ?? preferred;
  }

  private after(configuration: Configuration, change: MemberChange): Configuration {
    const { members } = configuration;
    const without = (...ids: ReplicaId[]): Member[] =>
      members.filter(({ replicaId }) => !ids.includes(replicaId));
    switch (change.type) {
      case 'remove':
      case 'demote':
        return { ...configuration, members: without(change.replicaId) };
      case 'accept-quorum':
        return { ...configuration, acceptQuorum: change.size };
      case 'add':
      case 'promote': {
        const { replicaId } = change;
        const role = this.world.plan.witnesses.includes(replicaId) ? 'witness' : 'voter';
        const incarnation = this.world.hosts[replicaId - 1]?.identity?.incarnation ?? '';
        const leaves = change.type === 'add' ? change.replaces : 0;
        return {
          ...configuration,
          members: [...without(replicaId, leaves), { replicaId, incarnation, address: '', role }],
        };
      }
      case 'readmit':
      case 'move-leader':
        return configuration;
    }
  }
}
