/**
 * The replicas of the small-scope model. Each is held as data, a *record*: what its disk holds, what it will hold when
 * all that waits is synced, what is in memory, what was sent. To take a step it is built from its record out of the
 * real Acceptor, Learner and Outbox, as after a restart, and read out again. Equal records have the same number, and
 * what a message does to a record is computed once.
 */
import type { Acceptor } from '../../src/acceptor.js';
import { ConfigurationHistory } from '../../src/configuration.js';
import { InvariantError } from '../../src/invariant.js';
import type { Learner } from '../../src/learner.js';
import type { PromiseMessage } from '../../src/messages.js';
import { Outbox } from '../../src/outbox.js';
import type {
  Ballot,
  ConfigurationAt,
  LogEntry,
  Persist,
  RecoveredLog,
  Slot,
  Value,
} from '../../src/types.js';
import { recovered } from './literals.js';

/** To all acceptors; the place in the table is its number. */
export type Broadcast =
  | { readonly type: 'prepare'; readonly ballot: Ballot }
  | { readonly type: 'accept'; readonly ballot: Ballot; readonly slot: Slot; readonly value: string }
  | { readonly type: 'chosen-through'; readonly ballot: Ballot; readonly slot: Slot };

export interface Promised {
  readonly type: 'promise';
  /** How often the disk was lost before. */
  readonly life: number;
  readonly page: PromiseMessage;
}

export interface Accepted {
  readonly type: 'accepted';
  readonly life: number;
  readonly ballot: Ballot;
  readonly slot: Slot;
  readonly value: string;
}

export interface SlotValue {
  readonly slot: Slot;
  readonly value: string;
}

/** What a message does to a record. */
export interface RecordStep {
  readonly to: number;
  readonly action: string;
  readonly learned: readonly SlotValue[];
}

export interface ReplicaParts {
  readonly acceptor: typeof Acceptor;
  readonly learner: typeof Learner;
  /** May this leave before the write that makes it true? */
  readonly leavesBeforeSync: (type: 'promise' | 'accepted') => boolean;
}

export interface ReplicaScope {
  readonly slots: readonly Slot[];
  readonly values: ReadonlyMap<string, Value>;
  readonly founding: readonly ConfigurationAt[];
  readonly broadcasts: readonly Broadcast[];
  /** Does an acceptor answer a prepare again that it has answered, with what it holds by then? */
  readonly answersAgain: boolean;
}

interface Log {
  readonly promised: Ballot;
  readonly mark: Slot;
  readonly entries: readonly LogEntry[];
}

interface Record {
  readonly life: number;
  readonly disk: Log;
  /** What the disk will hold once all that waits is synced; the same object as `disk` when nothing waits. */
  readonly synced: Log;
  /** `mark` is what memory knows chosen. */
  readonly memory: Log;
  /** Numbers of what waits for the sync, ascending. */
  readonly waiting: readonly number[];
  readonly sent: readonly number[];
}

interface Replica {
  readonly acceptor: Acceptor;
  readonly learner: Learner;
  readonly out: Outbox;
}

export class Replicas {
  readonly fresh: number;
  private readonly records: Record[] = [];
  private readonly numbers = new Map<string, number>();
  private readonly said: (Promised | Accepted)[] = [];
  private readonly saidNumbers = new Map<string, number>();
  private readonly memo = new Map<string, readonly RecordStep[]>();
  private readonly synced: number[] = [];
  private readonly restarted: number[] = [];
  private readonly wiped: number[] = [];
  private readonly promises: Lists<Promised>[] = [];
  private readonly accepted = new Lists<Accepted>();

  constructor(
    private readonly parts: ReplicaParts,
    private readonly scope: ReplicaScope,
  ) {
    this.fresh = this.intern(freshRecord(0, []));
  }

  get count(): number {
    return this.records.length;
  }

  /** What each broadcast of the bits in `mask`, and the pages that were asked for, would do: only what does something. */
  stepsOf(number: number, mask: number): readonly RecordStep[] {
    return this.remember(`${number} ${mask}`, () => {
      const prepares = this.pagesAsked(number).map(([ballot, from]) =>
        this.stepOf(
          number,
          `is asked for the page of ${nameOfBallot(ballot)} from slot ${from} on`,
          (replica) => this.prepare(replica, number, ballot, from),
        ),
      );
      const received = this.scope.broadcasts
        .filter((_, bit) => (mask & (1 << bit)) !== 0)
        .map((broadcast) =>
          this.stepOf(number, `gets ${describe(broadcast)}`, (replica) =>
            this.receive(replica, number, broadcast),
          ),
        );
      return [...prepares, ...received].flatMap((step) => step ?? []);
    });
  }

  /** It fetches the next slot from `other`, which serves only what the mark on its disk covers. */
  fetch(number: number, other: number): readonly RecordStep[] {
    const slot = this.record(number).memory.mark + 1;
    const { disk } = this.record(other);
    const entry = slot <= disk.mark ? disk.entries.find((one) => one.slot === slot) : undefined;
    if (!entry) return [];
    return this.remember(`${number} fetch ${nameOf(entry.value)}`, () => {
      const act = (replica: Replica): void => replica.learner.onChosen(0, [entry], slot);
      return [this.stepOf(number, `fetches slot ${slot}`, act)].flatMap((step) => step ?? []);
    });
  }

  isSynced(number: number): boolean {
    const { disk, synced, waiting } = this.record(number);
    return waiting.length === 0 && disk === synced;
  }

  sync(number: number): number {
    if (this.isSynced(number)) return number;
    return this.change(this.synced, number, () => {
      const record = this.record(number);
      return { ...record, disk: record.synced, waiting: [], sent: union(record.sent, record.waiting) };
    });
  }

  restart(number: number): number {
    return this.change(this.restarted, number, () => {
      const { life, disk, sent } = this.record(number);
      const memory = { ...disk, entries: disk.entries.filter((entry) => entry.slot > disk.mark) };
      return { life, disk, synced: disk, memory, waiting: [], sent };
    });
  }

  wipe(number: number): number {
    return this.change(this.wiped, number, () => {
      const { life, sent } = this.record(number);
      return freshRecord(life + 1, sent);
    });
  }

  /** The promises made for a ballot. Equal ones are the same array. */
  promisesOf(number: number, ballot: Ballot): readonly Promised[] {
    return (this.promises[ballot.counter] ??= new Lists()).of(number, () =>
      this.saidBy(number).flatMap((said) =>
        said.type === 'promise' && said.page.ballot.counter === ballot.counter ? [said] : [],
      ),
    );
  }

  acceptedOf(number: number): readonly Accepted[] {
    return this.accepted.of(number, () =>
      this.saidBy(number).flatMap((said) => (said.type === 'accepted' ? [said] : [])),
    );
  }

  private saidBy(number: number): (Promised | Accepted)[] {
    return this.record(number).sent.map((n) => this.said[n] as Promised | Accepted);
  }

  private remember(key: string, compute: () => readonly RecordStep[]): readonly RecordStep[] {
    let steps = this.memo.get(key);
    if (!steps) this.memo.set(key, (steps = compute()));
    return steps;
  }

  private change(memo: number[], number: number, compute: () => Record): number {
    return (memo[number] ??= this.intern(compute()));
  }

  private record(number: number): Record {
    return this.records[number] as Record;
  }

  /** Null when nothing comes of it, or an assertion of the product stops it. */
  private stepOf(number: number, action: string, act: (replica: Replica) => void): RecordStep | null {
    const replica = this.build(this.record(number));
    try {
      act(replica);
    } catch (error) {
      if (error instanceof InvariantError) return null;
      throw error;
    }
    const to = this.intern(this.readOut(this.record(number), replica));
    const learned = replica.out.chosen.map(({ slot, value }) => ({ slot, value: nameOf(value) }));
    return to === number && learned.length === 0 ? null : { to, action, learned };
  }

  private build({ synced, memory }: Record): Replica {
    const log: RecoveredLog = recovered(1, {
      promised: memory.promised,
      chosenThrough: memory.mark,
      configurations: this.scope.founding,
      accepted: memory.entries,
    });
    const out = new Outbox();
    // The mark rides on the next write: what is known and not yet marked on disk still waits for one.
    if (memory.mark > synced.mark) out.persistChosenThrough(memory.mark);
    const history = new ConfigurationHistory(this.scope.founding);
    const acceptor = new this.parts.acceptor(log, history, out);
    const learner = new this.parts.learner(
      { ...log, accepted: [] },
      history,
      () => acceptor,
      out,
      () => 0,
      () => [],
    );
    return { acceptor, learner, out };
  }

  private readOut(before: Record, { acceptor, out }: Replica): Record {
    const persist = out.takePersist();
    const early: number[] = [];
    const late: number[] = [];
    for (const { message } of out.afterPersist) {
      if (message.type !== 'promise' && message.type !== 'accepted') continue;
      const numbers = this.parts.leavesBeforeSync(message.type) ? early : late;
      if (message.type === 'promise')
        numbers.push(this.number({ type: 'promise', life: before.life, page: message }));
      else
        for (const slot of message.slots)
          numbers.push(this.acceptedNumber(before, acceptor, message.ballot, slot));
    }
    const synced = persist ? write(before.synced, persist) : before.synced;
    const entries = this.scope.slots.flatMap((slot) => acceptor.acceptedAt(slot) ?? []);
    return {
      ...before,
      synced,
      memory: { promised: acceptor.promised, entries, mark: acceptor.chosenThrough },
      waiting: union(
        before.waiting,
        late.filter((n) => !before.sent.includes(n)),
      ),
      sent: union(before.sent, early),
    };
  }

  private acceptedNumber({ life }: Record, acceptor: Acceptor, ballot: Ballot, slot: Slot): number {
    const value = nameOf((acceptor.acceptedAt(slot) as LogEntry).value);
    return this.number({ type: 'accepted', life, ballot, slot, value });
  }

  private receive(replica: Replica, number: number, message: Broadcast): void {
    const from = message.ballot.replicaId;
    switch (message.type) {
      case 'prepare':
        return this.prepare(replica, number, message.ballot, this.scope.slots[0] as Slot);
      case 'accept': {
        const value = this.scope.values.get(message.value) as Value;
        return replica.acceptor.onAccept(from, { ...message, value, chosenThrough: 1 }, true);
      }
      case 'chosen-through': {
        const { ballot, slot } = message;
        const digest = { slot: 0, hash: '' };
        const heartbeat = { type: 'heartbeat', ballot, round: 1, chosenThrough: slot, digest } as const;
        if (replica.acceptor.hasNoHigherPromise(heartbeat)) replica.learner.onLeaderSays(from, ballot, slot);
      }
    }
  }

  private prepare({ acceptor }: Replica, number: number, ballot: Ballot, fromSlot: Slot): void {
    if (!this.scope.answersAgain && this.hasAnswered(number, ballot, fromSlot)) return;
    acceptor.onPrepare(ballot.replicaId, { type: 'prepare', ballot, fromSlot });
  }

  private hasAnswered(number: number, ballot: Ballot, fromSlot: Slot): boolean {
    const { life, sent, waiting } = this.record(number);
    return [...sent, ...waiting].some((n) => {
      const said = this.said[n];
      if (said?.type !== 'promise' || said.life !== life) return false;
      return said.page.fromSlot === fromSlot && said.page.ballot.counter === ballot.counter;
    });
  }

  private pagesAsked(number: number): [Ballot, Slot][] {
    const { life, sent } = this.record(number);
    return sent.flatMap((n): [Ballot, Slot][] => {
      const said = this.said[n];
      if (said?.type !== 'promise' || said.page.throughSlot === null || said.life !== life) return [];
      return [[said.page.ballot, said.page.throughSlot + 1]];
    });
  }

  private number(said: Promised | Accepted): number {
    return intern(this.said, this.saidNumbers, keyOfSaid(said), said);
  }

  private intern(record: Record): number {
    const disk = keyOfLog(record.disk);
    const synced = keyOfLog(record.synced);
    const whole = disk === synced ? { ...record, synced: record.disk } : record;
    const { life, memory, waiting, sent } = record;
    const key = `${life}|${disk}|${synced}|${keyOfLog(memory)}|${waiting.join()}|${sent.join()}`;
    return intern(this.records, this.numbers, key, whole);
  }
}

/** For each record a list; equal lists are the same array. */
class Lists<T extends Promised | Accepted> {
  private readonly byRecord: (readonly T[])[] = [];
  private readonly byContents = new Map<string, readonly T[]>();

  of(number: number, compute: () => readonly T[]): readonly T[] {
    const known = this.byRecord[number];
    if (known) return known;
    const computed = compute();
    const key = computed.map((said) => keyOfSaid(said)).join(' ');
    const list = this.byContents.get(key) ?? computed;
    this.byContents.set(key, list);
    this.byRecord[number] = list;
    return list;
  }
}

export function nameOf(value: Value): string {
  return value.type === 'batch' ? String.fromCharCode(value.bytes[0] ?? 0) : value.type;
}

export function describe(broadcast: Broadcast): string {
  const of = nameOfBallot(broadcast.ballot);
  switch (broadcast.type) {
    case 'prepare':
      return `prepare ${of}`;
    case 'accept':
      return `accept ${of} slot ${broadcast.slot} = ${broadcast.value}`;
    case 'chosen-through':
      return `"${of}: chosen through ${broadcast.slot}"`;
  }
}

function freshRecord(life: number, sent: readonly number[]): Record {
  const log: Log = { promised: recovered(1).promised, mark: 1, entries: [] };
  return { life, disk: log, synced: log, memory: log, waiting: [], sent };
}

function write(log: Log, persist: Persist): Log {
  const entries = new Map(log.entries.map((entry) => [entry.slot, entry]));
  for (const entry of persist.entries) entries.set(entry.slot, entry);
  return {
    promised: persist.promised ?? log.promised,
    mark: persist.chosenThrough ?? log.mark,
    entries: [...entries.values()].sort((a, b) => a.slot - b.slot),
  };
}

function intern<T>(list: T[], numbers: Map<string, number>, key: string, item: T): number {
  let number = numbers.get(key);
  if (number === undefined) {
    number = list.push(item) - 1;
    numbers.set(key, number);
  }
  return number;
}

function union(a: readonly number[], b: readonly number[]): number[] {
  return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

function keyOfSaid(said: Promised | Accepted): string {
  if (said.type === 'accepted') return `a${said.life};${said.ballot.counter};${said.slot};${said.value}`;
  const { ballot, fromSlot, throughSlot, chosenThrough, accepted } = said.page;
  const entries = accepted.map((entry) => keyOfEntry(entry)).join();
  return `p${said.life};${ballot.counter};${fromSlot};${throughSlot};${chosenThrough};${entries}`;
}

function keyOfEntry({ slot, ballot, value, chosen }: LogEntry): string {
  return `${slot}:${ballot.counter}${nameOf(value)}${chosen ? '!' : ''}`;
}

function keyOfLog({ promised, mark, entries }: Log): string {
  return `${promised.counter};${mark};${entries.map((entry) => keyOfEntry(entry)).join()}`;
}

function nameOfBallot(of: Ballot): string {
  return `${of.counter}.${of.replicaId}`;
}
