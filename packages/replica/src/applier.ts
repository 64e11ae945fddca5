/**
 * From chosen slots to state, in slot order, each once (S6): newly chosen ones from memory, older ones from the log
 * after a start or when memory would not hold them. Also decides when the state is flushed and the log is cut: a flush
 * waits until the log's mark covers it, so that on disk the state is never ahead of the log.
 */
import type { ChosenEntry, LogEntry, Slot } from '@kvd/paxos';
import type { CommandResult } from '@kvd/protocol';
import { PAGE_BYTES_MAX } from '@kvd/protocol';
import type { LogDriver } from './log-driver.js';
import type { LogStore, StateMachine } from './ports.js';

export interface ApplierHandler {
  onApplied(entry: ChosenEntry, results: readonly CommandResult[]): void;
  /** The log is cut above the state: only a snapshot helps. */
  onStateBehindLog(): void;
  /** Reading or writing the state failed; nothing is applied until resume(). */
  onStateFailure(error: Error): void;
  /** Please write the log's mark: a flush waits for it. */
  wantMark(): void;
}

/** Chosen entries kept in memory until they are applied; beyond, they are read back from the log. */
const QUEUE_SLOTS_MAX = 1024;
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/**
 * A flush costs a sync, and once what was overwritten in between: at 10,000 keys of 100 B, flushes of 4,000 cost a put a
 * sixth less than flushes of 1,000. Much larger ones save little more, and a start replays what is not flushed.
 */
const FLUSH_KEYS = 4000;
const FLUSH_BYTES = 8 * 1024 * 1024;
const FLUSH_AGE_MS = 100;
/** A state in which only slot numbers moved need not be flushed often. */
const IDLE_FLUSH_AGE_MS = 1000;

export class Applier {
  private queue: ChosenEntry[] = [];
  private queuedBytes = 0;
  /** The entry whose ranges are being loaded, a page of the log that is being read, or a replacement of the state. */
  private busy = false;
  private paused = false;
  /** Completions of an earlier life of the state are void. */
  private life = 0;
  private flushing: { readonly slot: Slot; writing: boolean } | null = null;
  /** A write of the state is under way, of this life or the last. */
  private writing = false;
  private dirtyTicks = 0;

  constructor(
    private readonly state: StateMachine,
    private readonly log: LogStore,
    private readonly driver: LogDriver,
    private readonly tickMs: number,
    private readonly handler: ApplierHandler,
  ) {}

  get isPaused(): boolean {
    return this.paused;
  }

  get isFlushing(): boolean {
    return this.flushing !== null;
  }

  push(entries: readonly ChosenEntry[]): void {
    for (const entry of entries) {
      const bytes = entry.value.type === 'batch' ? entry.value.bytes.length : 0;
      if (this.queue.length >= QUEUE_SLOTS_MAX || this.queuedBytes + bytes > QUEUE_BYTES_MAX) return;
      this.queue.push(entry);
      this.queuedBytes += bytes;
    }
  }

  /** Apply what can be applied now. `chosenThrough`: as far as the core knows. */
  pump(chosenThrough: Slot): void {
    while (!this.busy && !this.paused && this.state.appliedThrough < chosenThrough) {
      const entry = this.takeNext(this.state.appliedThrough + 1);
      if (!entry) {
        this.replay(this.state.appliedThrough + 1, chosenThrough);
        return;
      }
      if (!this.prepare(entry, chosenThrough)) return;
      this.apply(entry);
    }
  }

  tick(): void {
    if (this.paused || this.state.appliedThrough === this.state.durableThrough) {
      this.dirtyTicks = 0;
      return;
    }
    this.dirtyTicks += 1;
    const age = this.state.dirtyKeys > 0 ? FLUSH_AGE_MS : IDLE_FLUSH_AGE_MS;
    if (this.dirtyTicks * this.tickMs >= age) this.flush();
  }

  /** Freeze now; written once the log's mark covers it. */
  flush(): void {
    if (
      this.flushing ||
      this.writing ||
      this.paused ||
      this.state.appliedThrough === this.state.durableThrough
    )
      return;
    this.dirtyTicks = 0;
    this.flushing = { slot: this.state.freeze(), writing: false };
    this.writeFlush();
  }

  /** The log's mark moved. */
  onMark(): void {
    this.writeFlush();
  }

  /** Stop applying: the state is down, diverged or about to be replaced. Completions on their way are void. */
  pause(): void {
    this.paused = true;
    this.life += 1;
    this.busy = false;
    this.flushing = null;
  }

  /** Go on from wherever the state is now. */
  resume(): void {
    this.paused = false;
    this.queue = [];
    this.queuedBytes = 0;
    this.dirtyTicks = 0;
  }

  private takeNext(slot: Slot): ChosenEntry | null {
    let skip = 0;
    while (skip < this.queue.length && (this.queue[skip] as ChosenEntry).slot < slot) skip += 1;
    const entry = this.queue[skip];
    const found = entry?.slot === slot ? entry : null;
    for (const gone of this.queue.splice(0, found ? skip + 1 : skip)) {
      this.queuedBytes -= gone.value.type === 'batch' ? gone.value.bytes.length : 0;
    }
    return found;
  }

  /** False: apply() follows once what it reads is loaded. */
  private prepare(entry: ChosenEntry, chosenThrough: Slot): boolean {
    const { life } = this;
    const ready = this.guard(() =>
      this.state.prepare(entry.value, (error) => {
        if (life !== this.life) return;
        this.busy = false;
        if (error) {
          this.fail(error);
          return;
        }
        this.apply(entry);
        this.pump(chosenThrough);
      }),
    );
    if (ready === false) this.busy = true;
    return ready === true;
  }

  private apply(entry: ChosenEntry): void {
    const results = this.guard(() => this.state.apply(entry.slot, entry.value));
    if (!results) return;
    this.handler.onApplied(entry, results);
    if (this.isFull) this.flush();
  }

  /** Is enough dirty for a flush? */
  private get isFull(): boolean {
    return this.state.dirtyKeys >= FLUSH_KEYS || this.state.dirtyBytes >= FLUSH_BYTES;
  }

  private replay(fromSlot: Slot, chosenThrough: Slot): void {
    if (fromSlot <= this.driver.cutThrough) {
      this.handler.onStateBehindLog();
      return;
    }
    // Above the mark the log may hold what was accepted, not what was chosen.
    const through = Math.min(chosenThrough, this.driver.chosenThrough);
    if (through < fromSlot) {
      this.handler.wantMark();
      return;
    }
    const { life } = this;
    this.busy = true;
    this.log.read(fromSlot, through, PAGE_BYTES_MAX, (error, entries) => {
      if (life !== this.life) return;
      this.busy = false;
      if (error) {
        this.fail(error);
        return;
      }
      this.queue = entries.map(({ slot, value }: LogEntry) => ({ slot, value }));
      this.queuedBytes = 0;
      for (const { value } of this.queue) this.queuedBytes += value.type === 'batch' ? value.bytes.length : 0;
      if (entries.length > 0) this.pump(chosenThrough);
    });
  }

  private writeFlush(): void {
    const { flushing, life } = this;
    if (!flushing || flushing.writing) return;
    if (this.driver.chosenThrough < flushing.slot) {
      this.handler.wantMark();
      return;
    }
    flushing.writing = true;
    this.writing = true;
    this.state.writeFrozen((error) => {
      this.writing = false;
      if (life !== this.life) return;
      this.flushing = null;
      if (error) this.fail(error);
      else if (this.isFull) this.flush();
    });
  }

  private guard<T>(act: () => T): T | null {
    try {
      return act();
    } catch (error) {
      this.fail(error as Error);
      return null;
    }
  }

  private fail(error: Error): void {
    this.pause();
    this.handler.onStateFailure(error);
  }
}
