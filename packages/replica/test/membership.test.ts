/** What a leader does about the members, and when it does not. The rest of the replica is played by the test. */
import type { Configuration, ConfigurationAt, Identity, Member, ReplicaId, Slot } from '@kvd/paxos';
import type { MemberChange, MembersReport, PeerMessage, Report, Response } from '@kvd/protocol';
import { test } from 'tap';
import { membershipHostOf } from '../src/membership/host.js';
import { Membership } from '../src/membership/membership.js';
import type { MembershipHost } from '../src/membership/membership-host.js';
import { Neighbours } from '../src/neighbours.js';
import { Pending } from '../src/pending.js';
import type { Replica } from '../src/replica.js';
import { Tracer } from '../src/tracer.js';

const ALPHA = 8;
const REPORT_TICKS = 2;
const ELECTION_TICKS = 10;

const incarnation = (id: ReplicaId, life = 0): string =>
  `${id}`.padStart(16, '0') + `${life}`.padStart(16, '0');
const identity = (id: ReplicaId, life = 0): Identity => ({
  replicaId: id,
  incarnation: incarnation(id, life),
});
const addressOf = (id: ReplicaId): string => `h:${id}`;

function configurationOf(
  ids: readonly ReplicaId[],
  roles: Partial<Record<number, Member['role']>> = {},
): Configuration {
  const members = ids.map((id) => ({
    ...identity(id),
    role: roles[id] ?? ('voter' as const),
    address: addressOf(id),
  }));
  return { clusterId: 'c'.repeat(32), alpha: ALPHA, replaces: 0, members, acceptQuorum: 0 };
}

/** Replica 1, an established leader, and what the others say to it. */
class Stage implements MembershipHost {
  chosenThrough: Slot = 100;
  latest: ConfigurationAt;
  isEstablished = true;
  readonly identity = identity(1);
  readonly slowMs = 0;
  readonly leader = 1;
  private rounds = 0;
  readonly proposed: Configuration[] = [];
  readonly sent: { readonly to: ReplicaId; readonly message: PeerMessage }[] = [];
  readonly handedTo: (ReplicaId | null)[] = [];
  readonly dismissed: Slot[] = [];
  readonly answers: Response[] = [];
  readonly neighbours = new Neighbours(identity(1), [], []);
  readonly membership: Membership;
  /** By incarnation: how far each says that its disk goes; null follows what is chosen. */
  private readonly speaking = new Map<
    string,
    { id: Identity; durable: Slot | null; hears: Identity[]; witness: boolean }
  >();

  constructor(configuration: Configuration, readmit: 'auto' | 'manual' = 'auto') {
    this.latest = { slot: 1, configuration };
    this.membership = new Membership(
      { readmit, witness: false, reportTicks: REPORT_TICKS, electionTicks: ELECTION_TICKS },
      this,
      this.neighbours,
      new Tracer({ event: () => undefined }, 1),
      true,
    );
    for (const { replicaId } of configuration.members) if (replicaId !== 1) this.speaks(identity(replicaId));
  }

  get durableThrough(): Slot {
    return this.chosenThrough;
  }

  get proposedThrough(): Slot {
    return this.chosenThrough;
  }

  get canPropose(): boolean {
    return this.isEstablished;
  }

  get configurations(): Configuration[] {
    return [this.latest.configuration];
  }

  get known(): ConfigurationAt[] {
    return [this.latest];
  }

  get confirmedRound(): number {
    return ++this.rounds;
  }

  propose(next: Configuration): Slot {
    this.proposed.push(next);
    return this.chosenThrough + 1;
  }

  send(to: ReplicaId, message: PeerMessage): void {
    this.sent.push({ to, message });
  }

  persistMark(): void {}

  handOver(to: ReplicaId | null): void {
    this.handedTo.push(to);
    this.isEstablished = false;
  }

  retry(pending: Pending, why: string): void {
    pending.fail('KVD_UNAVAILABLE', why);
  }

  onDismissed(slot: Slot): void {
    this.dismissed.push(slot);
  }

  /** It is connected, and reports from now on. */
  speaks(
    id: Identity,
    {
      durable = null,
      hears = [],
      witness = false,
    }: Partial<{ durable: Slot | null; hears: Identity[]; witness: boolean }> = {},
  ): void {
    if (!this.neighbours.with(id)) this.connects(id);
    this.speaking.set(id.incarnation, { id, durable, hears, witness });
  }

  connects(id: Identity): void {
    this.neighbours.onConnected(id, addressOf(id.replicaId));
    this.membership.onConnected(id);
  }

  fallsSilent(id: Identity): void {
    this.neighbours.onDisconnected(id);
    this.speaking.delete(id.incarnation);
  }

  run(ticks: number): this {
    for (let i = 0; i < ticks; i++) {
      for (const { id, durable, hears, witness } of this.speaking.values()) {
        const report: Report = {
          type: 'report',
          durableThrough: durable ?? this.chosenThrough,
          heldThrough: 0,
          heldSlot: 0,
          slowMs: 1,
          witness,
          hears,
        };
        this.membership.onReport(id, report);
      }
      this.membership.tick();
    }
    return this;
  }

  /** What was proposed is chosen, brought into force, and known by all that speak. */
  carryOut(): void {
    const configuration = this.proposed.at(-1) as Configuration;
    const slot = this.chosenThrough + 1;
    this.latest = { slot, configuration };
    this.chosenThrough = slot + ALPHA - 1;
    this.membership.onApplied(slot);
    this.run(2 * REPORT_TICKS);
  }

  ask(change: MemberChange | null, { plan = false, force = false } = {}): Pending {
    const request = { type: 'members', timeoutMs: 1000, change, plan, force } as const;
    const sink = { reply: (_: number, response: Response) => void this.answers.push(response) };
    const pending = new Pending(sink, 1, request, 1000, false, { count: 0 }, 0);
    this.membership.ask(pending, request);
    return pending;
  }

  get answer(): Response | undefined {
    return this.answers.at(-1);
  }

  get report(): MembersReport {
    if (this.answer?.type !== 'members') throw new Error(`answered ${JSON.stringify(this.answer)}`);
    return this.answer.report;
  }

  get proposedMembers(): string[] {
    const roles = { voter: 'v', learner: 'l', witness: 'w' };
    return (this.proposed.at(-1)?.members ?? []).map(
      ({ replicaId, role, incarnation: of }) =>
        `${replicaId}${roles[role]}${of === incarnation(replicaId) ? '' : "'"}`,
    );
  }
}

const LONG = 4 * ELECTION_TICKS;

test('a member that lost its disk is admitted again by itself, once it has caught up', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.run(LONG);
  stage.fallsSilent(identity(3));
  stage.speaks(identity(3, 1), { durable: 40 });
  stage.run(LONG);
  t.equal(stage.proposed.length, 0, 'not while it is behind');
  t.match(stage.membership.noteOn(3), /catches up/);
  stage.speaks(identity(3, 1), { durable: 100 });
  stage.run(REPORT_TICKS);
  t.strictSame(stage.proposedMembers, ['1v', '2v', "3v'"]);
  stage.run(LONG);
  t.equal(stage.proposed.length, 1, 'once');
  stage.carryOut();
  t.ok(stage.membership.isDone);
  t.end();
});

test('what was chosen when the leader first heard of it is the least that it has to know', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.run(LONG);
  stage.fallsSilent(identity(3));
  stage.speaks(identity(3, 1), { durable: 99 });
  stage.run(LONG);
  t.equal(stage.proposed.length, 0, 'one slot is missing');
  stage.chosenThrough = 200;
  stage.run(LONG);
  stage.speaks(identity(3, 1), { durable: 199 });
  stage.run(LONG);
  t.equal(stage.proposed.length, 0, 'nor may it lag behind what was chosen some time ago');
  stage.speaks(identity(3, 1));
  stage.run(REPORT_TICKS);
  t.equal(stage.proposed.length, 1);
  t.end();
});

test('what a stranger said before it was connected anew counts no more: its start may have cost it its state', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]), 'manual');
  stage.run(LONG);
  stage.fallsSilent(identity(3));
  stage.speaks(identity(3, 1));
  stage.run(LONG);
  stage.fallsSilent(identity(3, 1));
  stage.connects(identity(3, 1));
  const asked = stage.ask({ type: 'readmit', replicaId: 3 });
  stage.run(REPORT_TICKS);
  t.equal(stage.proposed.length, 0, 'it has not reported in this life');
  t.match(asked.waitsFor, /has not reported yet/);
  stage.speaks(identity(3, 1), { durable: 0 });
  stage.run(REPORT_TICKS);
  t.equal(stage.proposed.length, 0, 'its state is lost');
  stage.speaks(identity(3, 1));
  stage.run(REPORT_TICKS);
  t.strictSame(stage.proposedMembers, ['1v', '2v', "3v'"]);
  t.end();
});

test('nobody is admitted while the incarnation that is named answers anybody', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.run(LONG);
  stage.speaks(identity(3, 1));
  stage.run(LONG);
  t.equal(stage.proposed.length, 0, 'the leader hears both');
  t.match(stage.membership.noteOn(3), /still answers/);
  stage.fallsSilent(identity(3));
  stage.speaks(identity(2), { hears: [identity(3)] });
  stage.run(LONG);
  t.equal(stage.proposed.length, 0, 'another replica hears it');
  stage.speaks(identity(2), { hears: [] });
  stage.run(2 * ELECTION_TICKS - 2);
  t.equal(stage.proposed.length, 0, 'it may only just have gone');
  stage.run(2 * REPORT_TICKS);
  t.strictSame(stage.proposedMembers, ['1v', '2v', "3v'"]);
  t.end();
});

test('a leader that has only just begun, one that is not established, and --readmit manual wait', (t) => {
  const fresh = new Stage(configurationOf([1, 2, 3]));
  fresh.fallsSilent(identity(3));
  fresh.speaks(identity(3, 1));
  fresh.run(2 * ELECTION_TICKS - 2);
  t.equal(fresh.proposed.length, 0, 'it has not heard yet of all that answers');
  fresh.isEstablished = false;
  fresh.run(LONG);
  t.equal(fresh.proposed.length, 0);
  const manual = new Stage(configurationOf([1, 2, 3]), 'manual');
  manual.fallsSilent(identity(3));
  manual.speaks(identity(3, 1));
  manual.run(LONG);
  t.equal(manual.proposed.length, 0);
  t.match(manual.membership.noteOn(3), /kvctl member readmit/);
  manual.ask({ type: 'readmit', replicaId: 3 });
  manual.run(REPORT_TICKS);
  t.strictSame(manual.proposedMembers, ['1v', '2v', "3v'"]);
  manual.carryOut();
  t.match(manual.report.members[2], { incarnation: incarnation(3, 1), role: 'voter' });
  t.end();
});

test('two processes that both say they are the member that lost its disk: neither', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.fallsSilent(identity(3));
  stage.speaks(identity(3, 1));
  stage.speaks(identity(3, 2));
  stage.run(LONG);
  t.equal(stage.proposed.length, 0);
  t.match(stage.membership.noteOn(3), /two processes/);
  t.end();
});

test('a replica is added as a learner, promoted when it has caught up, and its predecessor goes in the same step', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.run(LONG);
  stage.ask({ type: 'add', replicaId: 6, promote: true, replaces: 3 });
  stage.run(REPORT_TICKS);
  t.match(stage.answer, { type: 'error', code: 'KVD_MEMBERS_REFUSED', message: /not connected/ });
  stage.neighbours.onConnected(identity(6), addressOf(6));
  const asked = stage.ask({ type: 'add', replicaId: 6, promote: true, replaces: 3 });
  stage.run(LONG);
  t.notOk(asked.answered, 'whether it keeps a state it has not said yet');
  t.equal(stage.proposed.length, 0);
  stage.speaks(identity(6), { durable: 3 });
  stage.run(REPORT_TICKS);
  t.strictSame(stage.proposedMembers, ['1v', '2v', '3v', '6l']);
  stage.carryOut();
  t.match(stage.report, { message: 'chosen', members: [{}, {}, {}, { promoteTo: 'voter', replaces: 3 }] });
  stage.run(LONG);
  t.equal(stage.proposed.length, 1, 'it is behind');
  stage.speaks(identity(6));
  stage.run(LONG);
  t.strictSame(stage.proposedMembers, ['1v', '2v', '6v']);
  stage.carryOut();
  stage.run(REPORT_TICKS);
  t.match(stage.sent.filter(({ message }) => message.type === 'dismissed').at(-1), {
    to: 3,
    message: { incarnation: incarnation(3), slot: stage.latest.slot },
  });
  t.end();
});

test('who was removed is dismissed when the change is done, and not before', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3, 4]));
  stage.run(LONG);
  stage.ask({ type: 'remove', replicaId: 4 });
  stage.run(REPORT_TICKS);
  const dismissals = (): number => stage.sent.filter(({ message }) => message.type === 'dismissed').length;
  const slot = stage.chosenThrough + 1;
  stage.latest = { slot, configuration: stage.proposed.at(-1) as Configuration };
  stage.chosenThrough = slot + ALPHA - 1;
  for (const id of [2, 3]) stage.speaks(identity(id), { durable: slot + ALPHA - 2 });
  stage.membership.onApplied(slot);
  stage.run(LONG);
  t.notOk(stage.membership.isDone, 'only the leader has all of it on disk');
  t.equal(dismissals(), 0);
  stage.ask({ type: 'remove', replicaId: 3 });
  stage.run(LONG);
  t.equal(stage.proposed.length, 1, 'nor does anything else happen');
  stage.speaks(identity(2));
  stage.run(REPORT_TICKS);
  t.ok(stage.membership.isDone);
  t.ok(dismissals() > 0);
  t.equal(stage.proposed.length, 2, 'now the next one');
  t.end();
});

test('what would leave no quorum is refused, and can be forced; what no cluster may have cannot', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.run(LONG);
  stage.fallsSilent(identity(3));
  stage.run(LONG);
  stage.ask({ type: 'remove', replicaId: 2 }, { plan: true });
  t.match(stage.report.steps, [{ refused: /no quorum: 1 of 2/, forceable: true, after: { crashesNow: -1 } }]);
  t.match(stage.report.steps[0]?.warnings, ['replica 3 cannot be reached']);
  stage.ask({ type: 'remove', replicaId: 2 });
  stage.run(REPORT_TICKS);
  t.match(stage.answer, { code: 'KVD_MEMBERS_REFUSED', message: /it can be forced/ });
  t.equal(stage.proposed.length, 0);
  stage.ask({ type: 'accept-quorum', size: 4 }, { force: true });
  stage.run(REPORT_TICKS);
  t.match(stage.answer, { code: 'KVD_MEMBERS_REFUSED', message: /needs as many voters/ });
  stage.ask({ type: 'remove', replicaId: 2 }, { force: true });
  stage.run(REPORT_TICKS);
  t.strictSame(stage.proposedMembers, ['1v', '3v']);
  t.end();
});

test('a leader that has only just begun waits for reports before it says that there is no quorum', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3, 4]));
  for (const id of [2, 3, 4]) stage.fallsSilent(identity(id));
  stage.ask({ type: 'remove', replicaId: 4 });
  stage.run(REPORT_TICKS);
  t.equal(stage.proposed.length, 0);
  for (const id of [2, 3]) stage.speaks(identity(id));
  stage.run(2 * REPORT_TICKS);
  t.strictSame(stage.proposedMembers, ['1v', '2v', '3v']);
  t.end();
});

test('a change that is so already is none, and one that is overtaken is asked for again', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3], { 3: 'learner' }));
  stage.run(LONG);
  for (const change of [
    { type: 'remove', replicaId: 9 },
    { type: 'demote', replicaId: 3 },
    { type: 'promote', replicaId: 2 },
    { type: 'accept-quorum', size: 0 },
    { type: 'move-leader', replicaId: 1 },
  ] as const) {
    stage.ask(change);
    stage.run(REPORT_TICKS);
    t.match(stage.report.message, /already|no member/, change.type);
  }
  t.equal(stage.proposed.length, 0);
  stage.ask({ type: 'accept-quorum', size: 2 });
  stage.run(REPORT_TICKS);
  stage.chosenThrough += 1;
  stage.membership.onApplied(stage.chosenThrough);
  t.match(stage.answer, { code: 'KVD_OUTCOME_UNKNOWN' }, 'here: given back to the router');
  t.end();
});

test('a learner without a state becomes a witness, and nothing else', (t) => {
  const founding = configurationOf([1, 2, 6], { 6: 'learner' });
  const wish = {
    ...founding,
    members: founding.members.map((m) => (m.replicaId === 6 ? { ...m, promoteTo: 'witness' as const } : m)),
  };
  const stage = new Stage(wish);
  stage.speaks(identity(6), { witness: true, durable: 1 });
  stage.run(LONG);
  stage.ask({ type: 'demote', replicaId: 6 });
  stage.run(REPORT_TICKS);
  t.match(stage.answer, { code: 'KVD_MEMBERS_REFUSED', message: /only be removed/ });
  const plain = new Stage(founding);
  plain.speaks(identity(6), { witness: true, durable: 1 });
  plain.run(LONG);
  plain.ask({ type: 'promote', replicaId: 6 });
  plain.run(REPORT_TICKS);
  t.equal(plain.proposed[0]?.members[2]?.promoteTo, 'witness', 'whatever it was asked to be');
  t.end();
});

test('what only takes time is waited for, and says so at the end', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]), 'manual');
  stage.fallsSilent(identity(3));
  stage.speaks(identity(3, 1), { durable: 5 });
  stage.run(LONG);
  const asked = stage.ask({ type: 'readmit', replicaId: 3 });
  stage.run(LONG);
  t.notOk(asked.answered);
  asked.expire();
  t.match(stage.answer, { code: 'KVD_UNAVAILABLE', message: /catches up.*nothing was done/ });
  stage.ask({ type: 'readmit', replicaId: 3 });
  stage.speaks(identity(3, 1));
  stage.run(LONG);
  t.strictSame(stage.proposedMembers, ['1v', '2v', "3v'"]);
  t.end();
});

test('leadership is handed to a voter that has caught up', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3], { 3: 'learner' }));
  stage.run(LONG);
  stage.ask({ type: 'move-leader', replicaId: 3 });
  stage.run(REPORT_TICKS);
  t.match(stage.answer, { code: 'KVD_MEMBERS_REFUSED', message: /no voter/ });
  stage.ask({ type: 'move-leader', replicaId: 2 });
  stage.run(REPORT_TICKS);
  t.strictSame(stage.handedTo, [2]);
  const behind = new Stage(configurationOf([1, 2, 3]));
  behind.speaks(identity(2), { durable: 1 });
  behind.run(LONG);
  behind.ask({ type: 'move-leader', replicaId: 2 });
  behind.run(REPORT_TICKS);
  t.strictSame([behind.handedTo, behind.answer], [[], undefined], 'it is waited for');
  behind.speaks(identity(2), { durable: behind.chosenThrough });
  behind.run(REPORT_TICKS);
  t.strictSame(behind.handedTo, [2]);
  const any = new Stage(configurationOf([1, 2, 3, 4, 5], { 5: 'learner' }));
  any.speaks(identity(2), { durable: 0 });
  any.speaks(identity(3), { durable: 40 });
  any.run(LONG);
  any.fallsSilent(identity(4));
  any.run(LONG);
  any.ask({ type: 'move-leader', replicaId: 0 });
  any.run(REPORT_TICKS);
  t.strictSame(any.handedTo, [3], 'to a voter that is there, and not to one that waits for a state');
  const busy = new Stage(configurationOf([1, 2, 3]));
  busy.run(LONG);
  busy.fallsSilent(identity(3));
  busy.run(LONG);
  busy.speaks(identity(3, 1));
  busy.ask({ type: 'move-leader', replicaId: 2 });
  busy.run(REPORT_TICKS);
  t.strictSame([busy.handedTo, busy.proposed.length], [[2], 0], 'and proposes nothing more');
  t.end();
});

test('W1: heldThrough is what every data voter has, and never falls', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3], { 3: 'witness' }));
  stage.speaks(identity(3), { durable: 5, witness: true });
  stage.speaks(identity(2), { durable: 60 });
  stage.run(REPORT_TICKS);
  t.equal(stage.membership.heldThrough, 60, 'the witness does not count');
  stage.fallsSilent(identity(2));
  stage.run(LONG);
  t.equal(stage.membership.heldThrough, 60, 'what is on its disk stays there');
  const lost = new Stage(configurationOf([1, 2, 3], { 3: 'witness' }));
  lost.fallsSilent(identity(2));
  lost.speaks(identity(2, 1));
  lost.run(REPORT_TICKS);
  t.equal(lost.membership.heldThrough, 0, 'another incarnation is not the one that is named');
  t.end();
});

test('W3: with a witness nothing is proposed before all data voters have what it may have cut', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.speaks(identity(3), { durable: 90 });
  stage.run(LONG);
  stage.speaks(identity(6), { witness: true });
  stage.run(REPORT_TICKS);
  stage.ask({ type: 'add', replicaId: 6, promote: true, replaces: 0 });
  stage.run(LONG);
  t.equal(stage.proposed.length, 0, 'replica 3 is behind');
  stage.speaks(identity(3), { durable: 96 });
  stage.run(1);
  stage.fallsSilent(identity(3));
  stage.connects(identity(3));
  stage.run(2 * REPORT_TICKS);
  t.equal(stage.proposed.length, 0, 'nor does it count what replica 3 said in another life');
  stage.speaks(identity(3), { durable: 96 });
  stage.run(LONG);
  t.strictSame(stage.proposedMembers, ['1v', '2v', '3v', '6l'], 'alpha / 2 slots do not matter');
  t.equal(stage.proposed[0]?.members[3]?.promoteTo, 'witness', 'for its directory is one');
  t.end();
});

test('a state that is distrusted holds nothing that the log has cut behind it', (t) => {
  const durable = (trouble: string, durableThrough: Slot, cutThrough: Slot): Slot =>
    membershipHostOf(
      {
        node: {},
        driver: { cutThrough, chosenThrough: 100 },
        keeper: { trouble },
        ports: { state: { durableThrough } },
      } as unknown as Replica,
      { send: () => undefined, retry: () => undefined, onDismissed: () => undefined },
    ).durableThrough;
  t.equal(durable('', 90, 50), 100, 'state and log together');
  t.equal(durable('', 0, 0), 100, 'the log alone');
  t.equal(durable('', 0, 50), 0, 'a state that was dropped');
  t.equal(durable('a record is damaged', 100, 50), 0, 'though it says that it is on disk');
  t.equal(durable('a record is damaged', 100, 0), 100, 'the log has it all');
  t.end();
});

test('a replica that no configuration ever named is not dismissed', (t) => {
  const stage = new Stage(configurationOf([2, 3]));
  const joiner = new Membership(
    { readmit: 'auto', witness: false, reportTicks: 2, electionTicks: 10 },
    {
      identity: identity(9),
      chosenThrough: 0,
      durableThrough: 0,
      slowMs: 0,
      leader: 0,
      isEstablished: false,
      proposedThrough: 0,
      canPropose: false,
      confirmedRound: 0,
      latest: stage.latest,
      configurations: [],
      known: [],
      propose: () => 0,
      send: () => undefined,
      persistMark: () => undefined,
      handOver: () => undefined,
      retry: () => undefined,
      onDismissed: (slot) => void stage.dismissed.push(slot),
    },
    new Neighbours(identity(9), [], []),
    new Tracer({ event: () => undefined }, 9),
    false,
  );
  joiner.tick();
  joiner.onDismissed({ type: 'dismissed', slot: 5, incarnation: incarnation(9) });
  t.strictSame(stage.dismissed, [], 'it waits to be added');
  stage.membership.onDismissed({ type: 'dismissed', slot: 5, incarnation: incarnation(1, 4) });
  t.strictSame(stage.dismissed, [], 'meant for a directory that is gone');
  stage.membership.onDismissed({ type: 'dismissed', slot: 5, incarnation: incarnation(1) });
  t.strictSame(stage.dismissed, [5]);
  t.end();
});

test('a change in whose slot another one was chosen is not told as done', (t) => {
  const stage = new Stage(configurationOf([1, 2, 3]));
  stage.run(LONG);
  stage.ask({ type: 'demote', replicaId: 3 }, { force: true });
  stage.run(REPORT_TICKS);
  t.same(stage.proposedMembers, ['1v', '2v', '3l']);
  // Another leader was elected meanwhile, and what it was asked for got the same slot.
  const slot = stage.chosenThrough + 1;
  stage.latest = { slot, configuration: { ...stage.latest.configuration, replaces: 1, acceptQuorum: 2 } };
  stage.chosenThrough = slot;
  stage.membership.onApplied(slot);
  t.match(stage.answer, { type: 'error', code: 'KVD_OUTCOME_UNKNOWN' });
  t.end();
});
