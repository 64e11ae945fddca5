/**
 * Sees everything that happens in a test cluster and knows what nobody in it can know: which values are chosen, from
 * the votes on all disks. Fails the test at the first step that breaks a rule. It counts for itself, apart from the
 * code under test.
 */
import assert from 'node:assert/strict';
import { ConfigurationHistory } from '../../src/configuration.js';
import type { Message } from '../../src/messages.js';
import type {
  Ballot,
  ChosenEntry,
  Configuration,
  Identity,
  LogEntry,
  Persist,
  ReplicaId,
  Slot,
  Value,
} from '../../src/types.js';
import { compareBallots } from '../../src/ballot.js';
import type { Disk } from './disk.js';
import { textOf } from './literals.js';

interface Ballots {
  readonly text: string;
  readonly value: Value;
  /** Who has accepted it on disk, as replica/incarnation. */
  readonly voters: Set<string>;
}

export class Oracle {
  /** Slot to the value that a quorum accepted at one ballot. */
  readonly chosen = new Map<Slot, string>();
  readonly history = new ConfigurationHistory([]);
  /** The highest slot that any replica was told to apply. */
  learnedThrough: Slot = 0;
  private chosenThrough: Slot = 0;
  private readonly chosenValues = new Map<Slot, Value>();
  private readonly proposed = new Map<string, string>();
  private readonly votes = new Map<Slot, Map<string, Ballots>>();
  private readonly reads = new Map<string, Slot>();

  /** A test begins with disks on which this slot is chosen. */
  assume(slot: Slot, value: Value): void {
    this.chosen.set(slot, textOf(value));
    this.chosenValues.set(slot, value);
    this.advance();
  }

  /** Before it leaves: a message may assert only what its sender's disk holds. (S1, S4) */
  onSend(from: Identity, disk: Disk, message: Message): void {
    switch (message.type) {
      case 'prepare':
        assert.ok(compareBallots(disk.promised, message.ballot) >= 0, 'a ballot is used that is not on disk');
        return;
      case 'promise':
        assert.ok(compareBallots(disk.promised, message.ballot) >= 0, 'S1: a promise that is not on disk');
        return;
      case 'accepted':
        for (const slot of message.slots) this.checkAccepted(disk, slot, message.ballot);
        return;
      case 'accept': {
        const key = `${keyOf(message.ballot)} ${message.slot}`;
        const text = textOf(message.value);
        const before = this.proposed.get(key) ?? text;
        assert.equal(text, before, `S4: two values for slot ${message.slot} at ${keyOf(message.ballot)}`);
        this.proposed.set(key, text);
        assert.equal(message.ballot.incarnation, from.incarnation, 'an accept of another proposer');
        return;
      }
      default:
        return;
    }
  }

  /** After a write: count the votes that are on disk now. */
  onCommit(identity: Identity, disk: Disk, persist: Persist, markBefore: Slot): void {
    for (const entry of persist.entries) if (!entry.chosen) this.count(identity, entry);
    const through = persist.chosenThrough ?? 0;
    const from = Math.max(markBefore, disk.cutThrough) + 1;
    for (let slot = from; slot <= through; slot++) {
      const held = disk.entryAt(slot);
      assert.ok(held, `the log lacks slot ${slot}`);
      assert.equal(
        textOf(held.value),
        this.chosen.get(slot),
        `the log holds slot ${slot} as it was not chosen`,
      );
    }
  }

  /** A replica learned: it has to be what was chosen, and no earlier. */
  onLearned(replica: ReplicaId, entry: ChosenEntry): void {
    const text = this.chosen.get(entry.slot);
    assert.ok(
      text !== undefined,
      `replica ${replica} learned slot ${entry.slot}, in which nothing is chosen`,
    );
    assert.equal(textOf(entry.value), text, `replica ${replica} learned slot ${entry.slot}`);
    this.learnedThrough = Math.max(this.learnedThrough, entry.slot);
  }

  onRead(replica: ReplicaId, token: number): void {
    this.reads.set(`${replica} ${token}`, this.learnedThrough);
  }

  /** S7: what anybody knew to be chosen when the read arrived is in what it returns. */
  onReadConfirmed(replica: ReplicaId, token: number, slot: Slot): void {
    const floor = this.reads.get(`${replica} ${token}`);
    assert.ok(floor !== undefined, 'a read that nobody asked for');
    assert.ok(slot >= floor, `S7: a stale read: slot ${slot}, when slot ${floor} was known before`);
    this.reads.delete(`${replica} ${token}`);
  }

  private checkAccepted(disk: Disk, slot: Slot, ballot: Ballot): void {
    const held = disk.entryAt(slot);
    const isThere = slot <= disk.chosenThrough || (held && compareBallots(held.ballot, ballot) >= 0);
    assert.ok(isThere, `S1: accepted slot ${slot}, and it is not on disk`);
  }

  private count(identity: Identity, { slot, ballot, value }: LogEntry): void {
    let ballots = this.votes.get(slot);
    if (!ballots) this.votes.set(slot, (ballots = new Map()));
    let votes = ballots.get(keyOf(ballot));
    if (!votes) ballots.set(keyOf(ballot), (votes = { text: textOf(value), value, voters: new Set() }));
    assert.equal(votes.text, textOf(value), `S4: two values accepted in slot ${slot} at ${keyOf(ballot)}`);
    votes.voters.add(voterOf(identity));
    const configuration = slot === 1 ? configurationIn(value) : this.history.at(slot);
    if (!configuration || !isMajority(configuration, votes.voters)) return;
    const before = this.chosen.get(slot);
    assert.ok(
      before === undefined || before === votes.text,
      `two values chosen in slot ${slot}: ${before}, ${votes.text}`,
    );
    if (before !== undefined) return;
    this.chosen.set(slot, votes.text);
    this.chosenValues.set(slot, value);
    this.advance();
  }

  private advance(): void {
    for (
      let value = this.chosenValues.get(this.chosenThrough + 1);
      value;
      value = this.chosenValues.get(this.chosenThrough + 1)
    ) {
      this.chosenThrough += 1;
      if (value.type === 'configuration') this.history.add(this.chosenThrough, value.configuration);
    }
  }
}

function keyOf(ballot: Ballot): string {
  return `${ballot.counter}.${ballot.replicaId}.${ballot.incarnation}`;
}

function voterOf(identity: Identity): string {
  return `${identity.replicaId} ${identity.incarnation}`;
}

function configurationIn(value: Value): Configuration | null {
  return value.type === 'configuration' ? value.configuration : null;
}

function isMajority(configuration: Configuration, voters: ReadonlySet<string>): boolean {
  const members = configuration.members.filter((member) => member.role !== 'learner');
  return members.filter((member) => voters.has(voterOf(member))).length * 2 > members.length;
}
