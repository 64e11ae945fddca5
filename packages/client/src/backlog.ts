/**
 * Operations that wait to be sent: mutations and reads each in their order, so that mutations which wait for a session hold
 * up no read. Bounded in number and bytes.
 */
import { KvdError } from '@kvd/protocol';
import { Fifo } from './fifo.js';
import type { Operation } from './operation.js';

export interface BacklogBounds {
  readonly queueMax: number;
  readonly queueBytesMax: number;
}

export class Backlog {
  readonly mutations = new Fifo<Operation>();
  readonly reads = new Fifo<Operation>();
  private bytes = 0;

  constructor(private readonly bounds: BacklogBounds) {}

  get length(): number {
    return this.mutations.length + this.reads.length;
  }

  /** Does an operation of this kind have to wait behind others? */
  isBehind(operation: Operation): boolean {
    return this.queueOf(operation).length > 0;
  }

  /** @throws KvdError KVD_OVERLOADED */
  push(operation: Operation): void {
    const { length } = this;
    const { queueMax, queueBytesMax } = this.bounds;
    if (length >= queueMax || (length > 0 && this.bytes + operation.bytes > queueBytesMax)) {
      const text = `${length} operations wait already: await some before starting more`;
      throw new KvdError('KVD_OVERLOADED', text);
    }
    operation.ownBytes();
    this.queueOf(operation).push(operation);
    this.bytes += operation.bytes;
  }

  /** Take out, from the front of each queue, what `admit` says yes to, and what has ended while it waited. */
  drain(admit: (operation: Operation) => boolean): void {
    for (const queue of [this.mutations, this.reads]) {
      for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
        if (!next.settled && !admit(next)) break;
        queue.shift();
        this.bytes -= next.bytes;
      }
    }
  }

  /** Look at each; those that have ended then are gone. */
  sift(visit: (operation: Operation) => void): void {
    for (const queue of [this.mutations, this.reads]) {
      queue.filter((operation) => {
        visit(operation);
        if (operation.settled) this.bytes -= operation.bytes;
        return !operation.settled;
      });
    }
  }

  *[Symbol.iterator](): IterableIterator<Operation> {
    yield* this.mutations;
    yield* this.reads;
  }

  private queueOf(operation: Operation): Fifo<Operation> {
    return operation.isMutation ? this.mutations : this.reads;
  }
}
