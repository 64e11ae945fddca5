import type { Value } from '@kvd/paxos';
import type { Response } from '@kvd/protocol';
import { test } from 'tap';
import { Batcher } from '../src/batcher.js';
import { ClusterClock } from '../src/cluster-clock.js';
import { Pending } from '../src/pending.js';

const LIMITS = { batchBytes: 1_000, batchCommands: 100, queueBytesMax: 10_000 };
const NOOP: Value = { type: 'noop' };

/** Adds commands to a batcher and proposes batches, as a leader does. */
class Leader {
  readonly answers: Response[] = [];
  readonly givenBack: Pending[] = [];
  readonly batcher = new Batcher(LIMITS, new ClusterClock(20, 400));
  nextSlot = 1;
  ballot = { counter: 1, replicaId: 1 };

  take(count: number): void {
    for (let i = 0; i < count; i += 1) {
      const request = { type: 'mutate', timeoutMs: 1_000, command: new Uint8Array([i]) } as const;
      const sink = { reply: (_id: number, response: Response) => void this.answers.push(response) };
      this.batcher.add(new Pending(sink, i, request, 10, false, { count: 0 }, 0), request.command);
    }
  }

  /** The slot and what was proposed there. */
  propose(): { readonly slot: number; readonly value: Value } {
    const batch = this.batcher.take(this.ballot, 0, 0);
    if (batch === null) throw new Error('nothing waits');
    const slot = this.nextSlot++;
    this.givenBack.push(...this.batcher.onProposed(slot, this.ballot, batch.requests));
    return { slot, value: batch.value };
  }

  applied(
    { slot, value }: { readonly slot: number; readonly value: Value },
    count: number,
  ): readonly Pending[] {
    return this.batcher.onApplied({ slot, value }, Array(count).fill({ type: 'done' }));
  }
}

test('who is alone waits for nobody', (t) => {
  const leader = new Leader();
  leader.take(1);
  t.ok(leader.batcher.isWorthASlot);
  t.end();
});

test('while a slot is under way less than it holds is not worth another, as much is', (t) => {
  const leader = new Leader();
  leader.take(3);
  leader.propose();
  leader.take(2);
  t.notOk(leader.batcher.isWorthASlot);
  leader.take(1);
  t.ok(leader.batcher.isWorthASlot);
  t.end();
});

test('the end of a slot sets free what waited', (t) => {
  const leader = new Leader();
  leader.take(3);
  const proposed = leader.propose();
  leader.take(1);
  t.strictSame(leader.applied(proposed, 3), []);
  t.equal(leader.answers.length, 3);
  t.ok(leader.batcher.isWorthASlot);
  t.end();
});

test('a slot in which another value was chosen gives its requests back and holds up nothing', (t) => {
  const leader = new Leader();
  leader.take(3);
  const { slot } = leader.propose();
  leader.take(1);
  t.equal(leader.applied({ slot, value: NOOP }, 0).length, 3);
  t.ok(leader.batcher.isWorthASlot);
  t.end();
});

test('slots that a snapshot brought hold up nothing', (t) => {
  const leader = new Leader();
  leader.take(3);
  const { slot } = leader.propose();
  leader.take(1);
  t.equal(leader.batcher.takeSkipped(slot).length, 3);
  t.ok(leader.batcher.isWorthASlot);
  t.end();
});

/** A slot that was proposed and lost may stay empty for as long as nobody else proposes there. */
test('what a leadership that ended had under way does not hold up the next one', (t) => {
  const leader = new Leader();
  leader.take(3);
  const lost = leader.propose();
  t.strictSame(leader.batcher.giveBack(), []);
  leader.take(1);
  t.ok(leader.batcher.isWorthASlot);
  leader.propose();
  leader.applied({ ...lost, value: NOOP }, 0);
  leader.take(1);
  t.ok(leader.batcher.isWorthASlot, 'one waits, one is under way');
  leader.take(1);
  leader.propose();
  leader.take(1);
  t.notOk(leader.batcher.isWorthASlot, 'one waits, three are under way');
  t.end();
});

test('what was overtaken did nothing, whoever chose it: its requests are given back', (t) => {
  const leader = new Leader();
  leader.take(3);
  const proposed = leader.propose();
  t.equal(leader.applied(proposed, 0).length, 3);
  t.strictSame(leader.answers, []);
  t.end();
});

test('a batch that an earlier leadership of ours proposed is not taken for a later one', (t) => {
  const leader = new Leader();
  leader.take(2);
  const earlier = leader.propose();
  leader.batcher.giveBack();
  leader.ballot = { counter: 2, replicaId: 1 };
  leader.nextSlot = earlier.slot;
  leader.take(1);
  leader.propose();
  t.equal(leader.givenBack.length, 2, 'the first will not be chosen there: its requests need not wait');
  t.equal(leader.applied(earlier, 2).length, 1, 'should it be chosen all the same, it is not the later one');
  t.strictSame(leader.answers, []);
  t.end();
});
