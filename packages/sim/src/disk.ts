/**
 * A virtual disk: the memory twin of a data directory, and how long its reads and writes take. Owns what was asked of
 * it and is not done yet, which is what a crash loses. Writes are done in the order they were asked for; those of log and
 * state each in their own, where they are in files of their own.
 */
import { type MemoryContent, MemoryDisk, type Schedule, StoreError } from '@kvd/store';
import type { VirtualClock } from './clock.js';
import type { DamagedPart, WritesAtCrash } from './plan.js';
import type { Random } from './random.js';

/** Side-file numbers remembered, so that a power cut can bring an older one back. */
const SIDE_HISTORY = 8;
const SIDE_EVERY = 3;
const SYNCED_AT_FORMAT = 1;
/** Of side-file.ts: two sectors, each ends what counts with a CRC. */
const SIDE_SECTOR_BYTES = 512;
const SIDE_CRC_AT = 13;

export interface DiskTimes {
  readonly syncMs: number;
  readonly readMs: number;
}

/** Writes that are done in order. */
interface Queue {
  /** When the last one will be done. */
  lastMs: number;
}

interface Write {
  readonly task: () => void;
  readonly queue: Queue;
  /** Set once it is done or was lost. */
  over: boolean;
}

export class VirtualDisk {
  slowness = 1;
  /** Was it damaged, wiped, or made another one? Else its process has nothing to find fault with. */
  isTampered = false;
  private directory = new MemoryDisk();
  private stuck = false;
  private held: (() => void)[] = [];
  private writes: Write[] = [];
  private readonly queues: readonly [Queue, Queue] = [{ lastMs: 0 }, { lastMs: 0 }];
  private writesDone = 0;
  /** Completions of a process that died are void. */
  private life = 0;
  private sides: Buffer[] = [];
  /** The older one that a power cut brought back. */
  private laggingSide: Buffer | null = null;
  /** The log lost its last writes, and no start has noticed yet: by the side file it does. */
  private hasLostTail = false;

  constructor(
    private readonly clock: VirtualClock,
    private readonly random: Random,
    private readonly times: DiskTimes,
    /** Hands a completion to the process that waits for it. */
    private readonly complete: (run: () => void) => void,
  ) {}

  get memory(): MemoryDisk {
    return this.directory;
  }

  set memory(directory: MemoryDisk) {
    this.directory = directory;
    this.isTampered = true;
  }

  /** For the process that starts now. */
  newSchedule(onWrite: () => void): Schedule {
    this.life += 1;
    return this.schedule(this.queues[0], onWrite);
  }

  /** For the state of that process, where its writes and those of the log overtake each other. */
  stateSchedule(onWrite: () => void): Schedule {
    return this.schedule(this.queues[1], onWrite);
  }

  private schedule(queue: Queue, onWrite: () => void): Schedule {
    const { life } = this;
    return (task, kind) => {
      if (life !== this.life) return;
      if (kind === 'read') {
        this.later(life, this.clock.nowMs + this.duration(this.times.readMs), task);
        return;
      }
      const write = { task, queue, over: false };
      this.writes.push(write);
      queue.lastMs = Math.max(queue.lastMs, this.clock.nowMs + this.duration(this.times.syncMs));
      this.later(life, queue.lastMs, () => this.finish(write));
      onWrite();
    };
  }

  /** The process dies. `reached`: so many of the writes under way are on the disk all the same, nobody heard of it. */
  crash(writes: WritesAtCrash, sideLags: boolean): number {
    let reached = 0;
    for (const queue of this.queues) {
      const own = this.writes.filter((write) => write.queue === queue);
      if (own.length === 0 && queue !== this.queues[0]) continue;
      const through =
        writes === 'lost' ? 0 : writes === 'all' ? own.length : this.random.integer(0, own.length);
      for (const write of own.slice(0, through)) this.finish(write);
      reached += through;
    }
    this.life += 1;
    this.writes = [];
    this.held = [];
    this.memory.crash();
    const mayLag = sideLags && !this.hasLostTail && this.sides.length > 0;
    const older = mayLag ? this.random.pick(this.sides) : null;
    if (older !== null && this.memory.side !== null) {
      this.memory.side = Buffer.from(older);
      this.laggingSide = older;
    }
    this.rememberSide();
    return reached;
  }

  setStuck(stuck: boolean): void {
    this.stuck = stuck;
    if (stuck) return;
    const { held } = this;
    this.held = [];
    for (const run of held) this.complete(run);
  }

  failWrites(part: 'log' | 'state', error: 'no-space' | 'io', extent: 'once' | 'always'): void {
    for (const content of this.contents(part))
      content.failWrites(new StoreError(error, `injected: ${error}`), extent);
  }

  failReads(part: 'log' | 'state'): void {
    for (const content of this.contents(part))
      content.failReads(new StoreError('io', 'injected: read error'));
  }

  healPart(part: 'log' | 'state'): void {
    for (const content of this.contents(part)) content.heal();
  }

  /** The databases of a part. */
  private contents(part: 'log' | 'state'): MemoryContent[] {
    const names = part === 'log' ? (['log'] as const) : (['state', 'values'] as const);
    return names.flatMap((name) => this.memory.stores.get(name) ?? []);
  }

  heal(): void {
    for (const content of this.memory.stores.values()) content.heal();
    this.slowness = 1;
    this.setStuck(false);
    this.hurry();
  }

  /** Writes that were begun when the disk was slow take no longer than those that are begun now. */
  private hurry(): void {
    let atMs = this.clock.nowMs;
    for (const write of this.writes) {
      atMs += this.duration(this.times.syncMs);
      this.later(this.life, atMs, () => this.finish(write));
    }
    for (const queue of this.queues) queue.lastMs = Math.min(queue.lastMs, atMs);
  }

  wipe(): void {
    this.isTampered = true;
    this.memory.wipe();
    this.sides = [];
    this.hasLostTail = false;
  }

  /** The last writes were never on it. */
  loseTail(part: 'log' | 'state', batches: number): void {
    this.isTampered = true;
    for (const content of this.contents(part)) content.loseTail(batches);
    if (part === 'log') this.hasLostTail = true;
  }

  /** Flips one bit, `where` from 0 to 1 says which. False: there is nothing to damage. */
  flipBit(part: DamagedPart, where: number): boolean {
    this.isTampered = true;
    const { memory } = this;
    const within = (where * 7919) % 1;
    if (part === 'side') {
      if (memory.side === null) return false;
      // Both sectors, for one is spare: the byte of the checksum's field that each ends with.
      for (const at of [SIDE_CRC_AT, SIDE_CRC_AT + SIDE_SECTOR_BYTES])
        memory.side.writeUInt8(memory.side.readUInt8(at) ^ 1, at);
      return true;
    }
    if (part === 'identity') {
      const text = memory.texts.get('identity.json');
      if (text === undefined) return false;
      const at = Math.floor(where * (text.length - 1));
      const flipped = String.fromCharCode(text.charCodeAt(at) ^ 1);
      memory.texts.set('identity.json', text.slice(0, at) + flipped + text.slice(at + 1));
      return true;
    }
    const records = this.contents(part).flatMap((content) => content.keys().map((key) => ({ content, key })));
    const record = records[Math.floor(where * records.length)];
    return record?.content.corrupt(record.key, Math.floor(within * 4096)) === true;
  }

  /** A copy of the directory as it is. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk();
    for (const [part, content] of this.memory.stores) copy.stores.set(part, content.clone());
    for (const [part, text] of this.memory.texts) copy.texts.set(part, text);
    copy.side = this.memory.side === null ? null : Buffer.from(this.memory.side);
    return copy;
  }

  /** The directory was formatted anew: what an older one's side file said is no past of this one. */
  formatted(): void {
    this.sides = [];
    this.hasLostTail = false;
    this.rememberSide();
  }

  /** Does the side file know of the last write? Where it lags, nobody can tell that a log lost its tail. */
  get isSideCurrent(): boolean {
    return this.laggingSide === null || this.memory.side?.equals(this.laggingSide) === false;
  }

  get writesUnderWay(): number {
    return this.writes.length;
  }

  private finish(write: Write): void {
    if (write.over) return;
    write.over = true;
    this.writes = this.writes.filter((other) => other !== write);
    write.task();
    this.writesDone += 1;
    if (this.writesDone % SIDE_EVERY === 0) this.rememberSide();
  }

  private later(life: number, atMs: number, run: () => void): void {
    const arrive = (): void => {
      if (life !== this.life) return;
      if (this.stuck) this.held.push(arrive);
      else
        this.complete(() => {
          if (life === this.life) run();
        });
    };
    this.clock.at(atMs, arrive);
  }

  private duration(meanMs: number): number {
    return (meanMs / 4 + this.random.exponential((meanMs * 3) / 4)) * this.slowness;
  }

  private rememberSide(): void {
    const { side } = this.memory;
    if (side === null) return;
    if (this.sides.length >= SIDE_HISTORY) this.sides.splice(SYNCED_AT_FORMAT, 1);
    this.sides.push(Buffer.from(side));
  }
}
