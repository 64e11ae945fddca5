/**
 * The judge against the truth: acceptors that promise, accept, learn and lose messages at random, of which some survive. What
 * was really chosen is known here, and no verdict may contradict it. KVD_TEST_SEED=… repeats a run.
 */
import {
  type Ballot,
  compareBallots,
  type Configuration,
  type LogEntry,
  type Member,
  phase1Size,
  phase2Size,
  type Slot,
  ZERO_BALLOT,
} from '@kvd/paxos';
import t from 'tap';
import { type Judgement, judge, type SurvivorLog } from '../../src/recover/judge.js';
import { randomFrom } from '../helpers.js';

const RUNS = 4_000;
const STEPS = 60;
const SLOTS = 8;
const ALPHA = 4;

interface Acceptor {
  readonly member: Member;
  promised: Ballot;
  known: Slot;
  readonly accepted: Map<Slot, LogEntry>;
}

interface Leader {
  readonly ballot: Ballot;
  /** Its promises told that all through it is chosen: nothing is proposed there. */
  readonly known: Slot;
  readonly bound: Map<Slot, string>;
}

/** Multi-Paxos at its shortest: one configuration, messages that arrive at once or never, leaders that nobody deposed. */
class Run {
  readonly configuration: Configuration;
  readonly acceptors: Acceptor[];
  readonly truth = new Map<Slot, string>();
  private readonly leaders: Leader[] = [];
  private values = 0;

  constructor(private readonly random: () => number) {
    const size = 3 + this.dice(3);
    const members = Array.from({ length: size }, (_, index): Member => {
      const id = index + 1;
      const role = id === size && this.dice(3) === 0 ? 'witness' : 'voter';
      return { replicaId: id, incarnation: String(id).padStart(32, '0'), role, address: `h:${id}` };
    });
    const acceptQuorum = this.dice(2) === 0 ? 0 : 1 + this.dice(size);
    this.configuration = { clusterId: 'c'.repeat(32), alpha: ALPHA, replaces: 0, members, acceptQuorum };
    this.acceptors = members.map((member) => ({
      member,
      promised: ZERO_BALLOT,
      known: 1,
      accepted: new Map(),
    }));
    this.truth.set(1, 'founding');
    for (let step = 0; step < STEPS; step += 1) this.step();
  }

  /** Slots 1 to here were chosen without a gap, so their writes may have been acknowledged. */
  get acknowledgedThrough(): Slot {
    let slot = 1;
    while (this.truth.has(slot + 1)) slot += 1;
    return slot;
  }

  /** Each survives by chance, some with a damaged log that forgot some of what it accepted. */
  survivors(): SurvivorLog[] {
    const left = this.acceptors.filter(() => this.dice(2) === 0);
    return left.map(({ member, promised, known, accepted }) => {
      const intact = this.dice(6) > 0;
      const entries = [...accepted.values()].filter(() => intact || this.dice(2) === 0);
      return {
        identity: member,
        intact,
        promised: intact ? promised : ZERO_BALLOT,
        knownThrough: intact ? known : 0,
        claimedThrough: intact || this.dice(2) === 0 ? known : 0,
        configurations: [{ slot: 1, configuration: this.configuration }],
        accepted: entries,
      };
    });
  }

  private step(): void {
    const kind = this.dice(10);
    if (kind === 0 || this.leaders.length === 0) this.prepare();
    else if (kind < 8) this.propose();
    else this.learn();
  }

  private prepare(): void {
    const counter = this.leaders.length + 1;
    const proposer = this.pick(this.acceptors).member;
    const ballot = { counter, replicaId: proposer.replicaId, incarnation: proposer.incarnation };
    const promises = this.acceptors.filter(
      (acceptor) => this.dice(4) > 0 && compareBallots(ballot, acceptor.promised) > 0,
    );
    for (const acceptor of promises) acceptor.promised = ballot;
    const bound = new Map<Slot, string>();
    if (promises.length >= phase1Size(this.configuration)) {
      const reported = promises.flatMap(({ accepted }) => [...accepted.values()]);
      reported.sort((a, b) => compareBallots(a.ballot, b.ballot));
      for (const entry of reported) bound.set(entry.slot, valueOf(entry));
    }
    const known =
      promises.length >= phase1Size(this.configuration)
        ? Math.max(...promises.map((acceptor) => acceptor.known))
        : Number.POSITIVE_INFINITY;
    this.leaders.push({ ballot, known, bound });
  }

  /** Mostly the last leader; an old one now and then, which nobody told. */
  private propose(): void {
    const leader = this.dice(4) > 0 ? this.leaders.at(-1) : this.pick(this.leaders);
    const slot = 2 + this.dice(SLOTS);
    if (leader === undefined || slot <= leader.known) return;
    const value = leader.bound.get(slot) ?? `v${(this.values += 1)}`;
    leader.bound.set(slot, value);
    for (const acceptor of this.acceptors)
      if (this.dice(3) > 0) this.accept(acceptor, leader.ballot, slot, value);
    const votes = this.acceptors.filter((acceptor) => acceptor.accepted.get(slot)?.ballot === leader.ballot);
    if (votes.length < phase2Size(this.configuration)) return;
    const chosen = this.truth.get(slot) ?? value;
    if (chosen !== value) throw new Error(`two values for slot ${slot}: the simulation is wrong`);
    this.truth.set(slot, value);
  }

  private accept(acceptor: Acceptor, ballot: Ballot, slot: Slot, value: string): void {
    if (compareBallots(ballot, acceptor.promised) < 0) return;
    if (slot <= acceptor.known || slot > acceptor.known + ALPHA) return;
    acceptor.promised = ballot;
    const held = acceptor.accepted.get(slot);
    if (held !== undefined && compareBallots(held.ballot, ballot) === 0) return;
    const bytes = Buffer.from(value);
    acceptor.accepted.set(slot, { slot, ballot, value: { type: 'batch', bytes }, chosen: false });
  }

  private learn(): void {
    const acceptor = this.pick(this.acceptors);
    acceptor.known += this.dice(this.acknowledgedThrough - acceptor.known + 1);
    for (const slot of acceptor.accepted.keys()) if (slot <= acceptor.known) acceptor.accepted.delete(slot);
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.dice(from.length)] as T;
  }

  private dice(sides: number): number {
    return Math.floor(this.random() * sides);
  }
}

function valueOf({ value }: LogEntry): string {
  return value.type === 'batch' ? Buffer.from(value.bytes).toString() : value.type;
}

/** Where the judgement contradicts what really happened. */
function contradictions(run: Run, logs: readonly SurvivorLog[], judgement: Judgement): string[] {
  const { truth } = run;
  const wrong: string[] = [];
  for (const { slot, verdict, entry, unseen, acknowledged } of judgement.slots) {
    const chosen = truth.get(slot);
    const held = entry === null ? null : valueOf(entry);
    const told = `slot ${slot}, ${verdict}, ${held}${unseen ? ', another is possible' : ''}; chosen is ${chosen}`;
    if (verdict === 'chosen' && chosen !== held) wrong.push(told);
    if (verdict === 'not-chosen' && chosen !== undefined) wrong.push(told);
    if (!unseen && chosen !== undefined && chosen !== held) wrong.push(told);
    if (!acknowledged && slot <= run.acknowledgedThrough) wrong.push(`${told}: and was acknowledged`);
  }
  for (let slot = judgement.knownThrough + 1; slot <= run.acknowledgedThrough; slot += 1) {
    const judged = judgement.slots.find((each) => each.slot === slot);
    const isKept =
      slot <= judgement.keepThrough && judged?.entry && valueOf(judged.entry) === truth.get(slot);
    const isWarned = judgement.unseen !== null && judgement.unseen.first <= slot;
    if (!isKept && !isWarned) wrong.push(`slot ${slot} is lost without a word`);
  }
  const lost = run.acceptors.length - logs.filter(({ intact }) => intact).length;
  const isClaimed = logs.some(({ intact }) => !intact);
  if (lost < phase2Size(run.configuration) && !isClaimed && judgement.unseen !== null)
    wrong.push('a warning where a quorum is larger than what was lost');
  return wrong;
}

t.test(`${RUNS} clusters at random: no verdict contradicts what was chosen`, async (t) => {
  const first = Number(process.env.KVD_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const seen = { lost: 0, warned: 0, safe: 0, proven: 0, kept: 0, excluded: 0 };
  for (let seed = first; seed < first + RUNS; seed += 1) {
    const run = new Run(randomFrom(seed));
    const logs = run.survivors();
    if (logs.length === 0) continue;
    const judgement = judge(logs);
    const wrong = contradictions(run, logs, judgement);
    if (wrong.length > 0) {
      t.same(wrong, [], `KVD_TEST_SEED=${seed}`);
      return;
    }
    seen.safe += judgement.unseen === null ? 1 : 0;
    seen.warned += judgement.unseen === null ? 0 : 1;
    seen.lost += run.acknowledgedThrough > judgement.keepThrough ? 1 : 0;
    for (const slot of judgement.slots) {
      seen.proven += slot.verdict === 'chosen' ? 1 : 0;
      seen.kept += slot.verdict === 'may-be-chosen' ? 1 : 0;
      seen.excluded += slot.verdict === 'not-chosen' ? 1 : 0;
    }
  }
  t.comment(JSON.stringify(seen));
  t.ok(
    Object.values(seen).every((count) => count > RUNS / 100),
    'every kind of verdict was put to the test',
  );
});
