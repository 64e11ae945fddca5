/**
 * A watcher: told by one replica until that one dies, ends the watch, or the watcher moves on by itself; then by another,
 * from where it was. At times it is slow to read. Everything it is told is compared with what the reference has: exactly
 * the events of its range, in order, each once, each batch naming the one before.
 */
import type { ReplicaId } from '@kvd/paxos';
import {
  decodeServerFrame,
  encodeUnwatch,
  encodeWatch,
  type KvEvent,
  type WatchMessage,
} from '@kvd/protocol';
import type { VirtualClock } from '../clock.js';
import { showEvent, showPlainEvent } from '../oracle/answers.js';
import type { Random } from '../random.js';
import type { Reference } from '../reference/reference.js';
import type { PlainRange } from '../reference/versions.js';
import { safety } from '../violation.js';

/** One connection of a watcher to a replica; nothing is heard of it after it is closed. */
export interface WatchLink {
  send(frame: Uint8Array): void;
  close(): void;
}

export interface WatchNetwork {
  readonly replicaIds: readonly ReplicaId[];
  /**
   * Null: nobody listens there. `slow`: it does not read as fast as it is told. `lost`: the replica is gone.
   */
  connect(
    to: ReplicaId,
    slow: boolean,
    hears: (frame: Uint8Array) => void,
    lost: () => void,
  ): WatchLink | null;
}

export class SimWatcher {
  /** Everything below this was told, or did not concern it; 0: the first replica says where it begins. */
  next = 0;
  /** Events that it was told. */
  told = 0;
  private readonly withPrevious: boolean;
  private readonly movesMs: number;
  private readonly reconnectMs: number;
  private link: WatchLink | null = null;
  private watchId = 0;
  /** The revision that the next batch has to name; null before the watch is created. */
  private previous: number | null = null;
  /** Events of the revision `next` that came already, of a batch that said there were more. */
  private partial = 0;
  private started = false;

  constructor(
    readonly id: number,
    private readonly range: PlainRange,
    private readonly network: WatchNetwork,
    private readonly reference: Reference,
    private readonly clock: VirtualClock,
    private readonly random: Random,
    electionTimeoutMs: number,
  ) {
    this.withPrevious = random.chance(0.6);
    this.movesMs = electionTimeoutMs * random.pick([2, 8, 80]);
    this.reconnectMs = electionTimeoutMs / 8;
  }

  start(): void {
    this.started = true;
    // From now on, from the beginning, or from a revision that may not be there yet.
    const { revision } = this.reference;
    this.next = this.random.pick([0, 1, Math.max(1, revision - 5), revision + 2]);
    this.connect();
    this.moveLater();
  }

  /** Is there nothing that it should have been told, of what the reference has? */
  get hasCaughtUp(): boolean {
    if (!this.started || this.next === 0) return true;
    return this.expected(this.reference.revision).length <= this.partial;
  }

  describe(): string {
    return `watcher ${this.id} of ${this.range.from || 'everything'} is at revision ${this.next}`;
  }

  private moveLater(): void {
    this.clock.after(this.random.exponential(this.movesMs), () => {
      this.drop();
      this.clock.after(this.random.exponential(this.reconnectMs * 4), () => this.connect());
      this.moveLater();
    });
  }

  private drop(): void {
    const { link } = this;
    this.link = null;
    if (link === null) return;
    if (this.random.chance(0.5)) link.send(encodeUnwatch(this.watchId));
    link.close();
  }

  private connect(): void {
    if (this.link !== null) return;
    const { network, random, range, reconnectMs } = this;
    const again = (): void => this.clock.after(random.exponential(reconnectMs), () => this.connect());
    const link = network.connect(
      random.pick(network.replicaIds),
      random.chance(0.2),
      (frame) => {
        if (this.link === link) this.hears(frame);
      },
      () => {
        if (this.link !== link) return;
        this.link = null;
        again();
      },
    );
    if (link === null) return again();
    this.link = link;
    this.watchId += 1;
    this.previous = null;
    this.partial = 0;
    link.send(
      encodeWatch(this.watchId, {
        from: Buffer.from(range.from, 'latin1'),
        to: Buffer.from(range.to, 'latin1'),
        fromRevision: this.next,
        previous: this.withPrevious,
      }),
    );
  }

  private hears(frame: Uint8Array): void {
    decodeServerFrame(frame, {
      onWelcome: () => undefined,
      onResponse: () => undefined,
      onWatchMessage: (watchId, message) => {
        if (watchId === this.watchId) this.take(message);
      },
    });
  }

  private take(message: WatchMessage): void {
    switch (message.type) {
      case 'created':
        if (this.next === 0) this.next = message.revision + 1;
        if (message.revision !== this.next - 1)
          throw this.wrong(`asked for revision ${this.next} on, and gets those after ${message.revision}`);
        this.previous = message.revision;
        return;
      case 'events':
        this.takeEvents(message);
        return;
      case 'progress': {
        const missed = this.expected(message.revision)[this.partial];
        if (missed !== undefined)
          throw this.wrong(`was told all through ${message.revision}, but not ${missed}`);
        if (message.revision >= this.next) this.partial = 0;
        this.next = Math.max(this.next, message.revision + 1);
        return;
      }
      case 'ended':
        this.takeEnd(message);
    }
  }

  private takeEvents({ previous, revision, more, events }: Extract<WatchMessage, { type: 'events' }>): void {
    if (previous !== this.previous)
      throw this.wrong(`a batch names ${previous} as the one before, that was ${this.previous}`);
    this.previous = revision;
    const expected = this.expected(revision).slice(this.partial);
    const shown = events.map((event) => showEvent(revisionOf(event), event));
    for (const [i, event] of shown.entries())
      if (event !== expected[i]) throw this.wrong(`is told ${event}, and not ${expected[i] ?? 'nothing'}`);
    if (!more && shown.length < expected.length) throw this.wrong(`is not told ${expected[shown.length]}`);
    this.told += events.length;
    if (more) {
      const before = revision > this.next ? 0 : this.partial;
      this.partial = before + events.filter((event) => revisionOf(event) === revision).length;
      this.next = revision;
      return;
    }
    this.partial = 0;
    this.next = revision + 1;
  }

  private takeEnd({ code, message, resumeRevision }: Extract<WatchMessage, { type: 'ended' }>): void {
    const { compactRevision } = this.reference;
    if (code === 'KVD_BAD_REQUEST') throw this.wrong(`was ended: ${message}`);
    if (code === 'KVD_COMPACTED') {
      if (this.next > compactRevision) throw this.wrong(`was told that it is compacted: ${message}`);
      if (resumeRevision > compactRevision + 1)
        throw this.wrong(`is to go on at ${resumeRevision}, though only ${compactRevision} is compacted`);
      this.next = Math.max(this.next, resumeRevision);
    } else if (this.next > 0) {
      const missed = this.expected(resumeRevision - 1)[this.partial];
      if (missed !== undefined) throw this.wrong(`is to go on at ${resumeRevision} without ${missed}`);
    }
    this.link?.close();
    this.link = null;
    this.clock.after(this.random.exponential(this.reconnectMs), () => this.connect());
  }

  /** What is to be told from `next` on, through a revision. */
  private expected(through: number): string[] {
    return this.reference.versions
      .events(this.range, this.next, through)
      .flatMap(({ revision, events }) =>
        events.map((event) => showPlainEvent(revision, event, this.withPrevious)),
      );
  }

  private wrong(what: string): Error {
    return safety('watch', `watcher ${this.id} of ${this.range.from || 'everything'}: ${what}`);
  }
}

function revisionOf(event: KvEvent): number {
  return event.type === 'put' ? event.entry.modRevision : event.modRevision;
}
