/**
 * From commands to slots and back: gathers mutations while a write is under way, proposes them as one batch, and gives
 * each its result when that slot is applied. A batch is proposed in one slot only; what is chosen there decides.
 */
import type { ChosenEntry, Slot, Value } from '@kvd/paxos';
import type { CommandResult } from '@kvd/protocol';
import { compareLeaders, encodeBatch, type LeaderBallot, peekBatchBallot } from '@kvd/protocol';
import type { ClusterClock } from './cluster-clock.js';
import type { Pending } from './pending.js';

interface Proposed {
  readonly ballot: LeaderBallot;
  /** In the order of the commands; null: given back, for it is sent again. */
  readonly requests: (Pending | null)[];
  /** Of the present leadership: it will be chosen, and soon. */
  isUnderWay: boolean;
}

export interface BatcherLimits {
  readonly batchBytes: number;
  readonly batchCommands: number;
  /** Bytes that may wait to be proposed. */
  readonly queueBytesMax: number;
}

export class Batcher {
  private queue: Pending[] = [];
  private queuedBytes = 0;
  private head = 0;
  private readonly proposed = new Map<Slot, Proposed>();
  /** Commands that were proposed in this leadership and are not applied. */
  private underWay = 0;

  constructor(
    private readonly limits: BatcherLimits,
    private readonly clock: ClusterClock,
  ) {}

  get waiting(): number {
    return this.queue.length - this.head;
  }

  get hasRoom(): boolean {
    return this.queuedBytes < this.limits.queueBytesMax;
  }

  /** At least a full batch waits: worth a slot even while the disk is busy. */
  get isFull(): boolean {
    return this.waiting >= this.limits.batchCommands || this.queuedBytes >= this.limits.batchBytes;
  }

  /**
   * Is what waits worth a slot while others are under way? Not when it is less than they hold: a slot costs as much as
   * some twenty commands, so what comes in dribs and drabs waits for more, or for the end of a slot.
   */
  get isWorthASlot(): boolean {
    return this.waiting >= this.underWay;
  }

  add(pending: Pending, command: Uint8Array): void {
    this.queue.push(pending);
    this.queuedBytes += command.length;
  }

  /** The next batch, to be proposed at `ballot`; null when all that waited was answered meanwhile. */
  take(
    ballot: LeaderBallot,
    stateMs: number,
    wallMs: number,
  ): { readonly value: Value; readonly requests: Pending[] } | null {
    const requests: Pending[] = [];
    const commands: Uint8Array[] = [];
    let bytes = 0;
    while (this.head < this.queue.length && requests.length < this.limits.batchCommands) {
      const pending = this.queue[this.head] as Pending;
      const command = commandOf(pending);
      if (commands.length > 0 && bytes + command.length > this.limits.batchBytes) break;
      this.head += 1;
      this.queuedBytes -= command.length;
      if (pending.answered) continue;
      requests.push(pending);
      commands.push(command);
      bytes += command.length;
    }
    if (this.head === this.queue.length) this.compact();
    if (commands.length === 0) return null;
    const encoded = encodeBatch({ ballot, clusterMs: this.clock.read(stateMs), wallMs, commands });
    return { value: { type: 'batch', bytes: encoded }, requests };
  }

  /** Returns what an earlier leadership of ours proposed in the slot, which is not chosen there any more. */
  onProposed(slot: Slot, ballot: LeaderBallot, requests: Pending[]): readonly Pending[] {
    const earlier = this.proposed.get(slot);
    if (earlier) this.end(earlier);
    for (const pending of requests) pending.entered = true;
    this.underWay += requests.length;
    this.proposed.set(slot, { ballot, requests, isUnderWay: true });
    return earlier === undefined ? [] : left(earlier);
  }

  /**
   * A slot was applied. Answers what was ours in it; returns what we proposed there when another value was chosen, or ours was
   * overtaken and did nothing.
   */
  onApplied(entry: ChosenEntry, results: readonly CommandResult[]): readonly Pending[] {
    const proposed = this.proposed.get(entry.slot);
    if (!proposed) return [];
    this.proposed.delete(entry.slot);
    this.end(proposed);
    if (results.length === 0 || !isOf(proposed.ballot, entry.value)) return left(proposed);
    for (const [i, pending] of proposed.requests.entries()) {
      pending?.reply({ type: 'result', result: results[i] as CommandResult });
    }
    return [];
  }

  /** Slots through `slot` came with a snapshot: what became of our batches there is not known. */
  takeSkipped(slot: Slot): Pending[] {
    const skipped: Pending[] = [];
    for (const [at, proposed] of this.proposed) {
      if (at > slot) continue;
      this.proposed.delete(at);
      this.end(proposed);
      skipped.push(...left(proposed));
    }
    return skipped;
  }

  /**
   * No longer leading: what never entered a slot can go elsewhere, and what did if it may be sent twice. It may have been lost on
   * the way, and its slot stay empty for as long as nobody else has anything to propose there: what must not be sent twice waits
   * for that, nothing else does.
   */
  giveBack(): Pending[] {
    const taken: Pending[] = [];
    for (const proposed of this.proposed.values()) {
      this.end(proposed);
      for (const [i, pending] of proposed.requests.entries()) {
        if (!pending?.retrySafe) continue;
        proposed.requests[i] = null;
        taken.push(pending);
      }
    }
    taken.push(...this.queue.slice(this.head));
    this.compact();
    this.queuedBytes = 0;
    return taken.filter((pending) => !pending.answered);
  }

  private end(proposed: Proposed): void {
    if (proposed.isUnderWay) this.underWay -= proposed.requests.length;
    proposed.isUnderWay = false;
  }

  private compact(): void {
    this.queue = [];
    this.head = 0;
  }
}

/** The requests that wait for what becomes of the slot. */
function left({ requests }: Proposed): Pending[] {
  return requests.filter((pending) => pending !== null);
}

/** Was it proposed at this ballot? In a slot there is one such value at most (S4). */
function isOf(ballot: LeaderBallot, value: Value): boolean {
  return value.type === 'batch' && compareLeaders(peekBatchBallot(value.bytes), ballot) === 0;
}

function commandOf(pending: Pending): Uint8Array {
  if (pending.request.type !== 'mutate') throw new Error('only mutations are batched');
  return pending.request.command;
}
