/**
 * Serving those who are behind: pages of chosen values from the log, and "cut" where only a snapshot helps. Only slots
 * through the log's mark are served: above it the log may hold what was accepted and never chosen. (S4)
 */
import type { Message, ReplicaId, Slot } from '@kvd/paxos';
import { PAGE_BYTES_MAX, PAGE_ENTRIES_MAX } from '@kvd/protocol';
import type { LogDriver } from './log-driver.js';
import type { LogStore } from './ports.js';

export interface CatchUpHandler {
  send(to: ReplicaId, message: Message): void;
  wantMark(): void;
  onReadFailure(error: Error): void;
}

interface Ask {
  readonly fromSlot: Slot;
  readonly throughSlot: Slot;
}

export class CatchUp {
  /** The newest question of each peer: one is read at a time, and only the last one matters. */
  private readonly waiting = new Map<ReplicaId, Ask>();
  private reading = false;

  constructor(
    private readonly log: LogStore,
    private readonly driver: LogDriver,
    private readonly chosenThrough: () => Slot,
    private readonly handler: CatchUpHandler,
  ) {}

  serve(to: ReplicaId, fromSlot: Slot, throughSlot: Slot): void {
    const { driver } = this;
    if (fromSlot <= driver.cutThrough) {
      this.handler.send(to, { type: 'cut', cutThrough: driver.cutThrough });
      return;
    }
    if (fromSlot > driver.chosenThrough || driver.hasFailed) {
      // Known, perhaps, but not yet in the log for certain: have the mark written, so that the next question is served.
      if (fromSlot <= this.chosenThrough()) this.handler.wantMark();
      this.answer(to, []);
      return;
    }
    this.waiting.set(to, { fromSlot, throughSlot });
    this.readNext();
  }

  private readNext(): void {
    const next = this.waiting.entries().next();
    if (this.reading || next.done) return;
    const [to, ask] = next.value;
    this.waiting.delete(to);
    this.reading = true;
    const through = Math.min(ask.throughSlot, this.driver.chosenThrough, ask.fromSlot + PAGE_ENTRIES_MAX - 1);
    this.log.read(ask.fromSlot, through, PAGE_BYTES_MAX, (error, entries) => {
      this.reading = false;
      if (error) {
        // Whoever knows no other peer that is ahead would ask for ever: what cannot be read is as good as cut.
        this.handler.onReadFailure(error);
        this.handler.send(to, { type: 'cut', cutThrough: ask.fromSlot });
      } else {
        this.answer(
          to,
          entries.map(({ slot, value }) => ({ slot, value })),
        );
      }
      this.readNext();
    });
  }

  private answer(to: ReplicaId, entries: Extract<Message, { type: 'chosen' }>['entries']): void {
    this.handler.send(to, { type: 'chosen', entries, chosenThrough: this.chosenThrough() });
  }
}
