/**
 * Tells watchers what happens to the keys of their ranges: every event from the revision on that they ask for, in
 * order, each once. It is driven by Replica (open, onRevisions after applying, tick, …) and has no timer of its own.
 *
 * A watcher has a **position**, the place in the history before which everything was told to it or is not wanted. The hub
 * has one number, `live`: the last revision that was handed to those who are told as things happen. A watcher is
 *
 *   live     when its position is above `live`: it is told from onRevisions(). It may be far above, for a watch may ask for
 *            revisions of the future, as one does that comes from a replica that is further.
 *   behind   else: it is told from the revisions of late, which are kept in memory, or from pages of the history, until its
 *            position is above `live`. Nothing is kept in memory for it.
 *
 * Why nothing is lost or doubled:
 *   1. Only these two steps tell events, both tell those from the position on and in order, and both leave the position
 *      after the last one told. What is below a position is skipped, so a revision that comes again (the state was read
 *      anew from disk) is not told again.
 *   2. A page of the history reaches from the position to the revision of the state that was read, or to `next`, so the
 *      position moves to where the page ends, whatever was applied meanwhile. What was is above that, and thus is read next
 *      or, if it is above `live` too, still to come from onRevisions(): `live` and the modes change in one step, and
 *      onRevisions() tells exactly what is above `live`, which it then moves.
 *   3. takeRevisions() gives every revision once the first watcher is there. Revisions are contiguous; where one is missing
 *      (a snapshot was installed), nobody who is below it stays live: the history has it, or it is compacted.
 *
 * Slow clients: while more than 1 MiB waits to be read by a client, its watchers that have something to be told are
 * stalled, which they are told once (progress, behind). They go on when half of it is read; after 60 s without that they
 * are ended. So a slow client costs a bounded buffer, and nobody else anything.
 */
import {
  type ErrorCode,
  type HistoryPage,
  type HistoryPosition,
  type Revision,
  type RevisionEvents,
  WATCHES_MAX,
  type WatchRequest,
} from '@kvd/protocol';
import type { WatchSink } from './api.js';
import type { StateMachine } from './ports.js';
import { ProgressMarks } from './progress-marks.js';
import { RecentRevisions } from './recent-revisions.js';
import { SlowClients } from './slow-clients.js';
import type { Tracer } from './tracer.js';
import {
  type Change,
  changesOfPage,
  changesSince,
  keyOf,
  type Portion,
  SharedPortions,
} from './watch-messages.js';
import { type WatchGroup, WatchRanges } from './watch-ranges.js';
import { hasCode, WatchReads } from './watch-reads.js';
import { WatchClient, Watcher } from './watcher.js';

/** A watcher that nothing happened to is told how far all is known in about this time. */
const PROGRESS_MS = 5_000;

export interface WatchHubOptions {
  /** Length of a tick. */
  readonly tickMs?: number;
  readonly watchesMax?: number;
  /** How long watches stay without a leader; absent: for ever. */
  readonly leaderlessMs?: number;
  /** The history could not be read: the state has failed. */
  readonly onStateFailure?: (error: Error) => void;
}

export type WatchedState = Pick<
  StateMachine,
  'revision' | 'compactRevision' | 'takeRevisions' | 'watchRevisions' | 'history'
>;

interface Ending {
  readonly code: ErrorCode;
  readonly message: string;
}

export class WatchHub {
  private readonly clients = new Map<WatchSink, WatchClient>();
  private readonly slow: SlowClients;
  private readonly retrying = new Set<Watcher>();
  private readonly ranges = new WatchRanges();
  private readonly recent = new RecentRevisions();
  private readonly reads: WatchReads;
  private readonly marks: ProgressMarks;
  private readonly watchesMax: number;
  private readonly leaderlessTicksMax: number;
  private readonly onStateFailure: (error: Error) => void;
  /** The last revision that was handed to the live watchers. */
  private live: Revision = 0;
  private count = 0;
  private leaderlessTicks = 0;
  private stopped = false;

  constructor(
    private readonly state: WatchedState,
    private readonly tracer: Pick<Tracer, 'event'>,
    {
      tickMs = 20,
      watchesMax = WATCHES_MAX,
      leaderlessMs = Number.POSITIVE_INFINITY,
      onStateFailure = () => {},
    }: WatchHubOptions = {},
  ) {
    this.watchesMax = watchesMax;
    this.leaderlessTicksMax = Math.ceil(leaderlessMs / tickMs);
    this.onStateFailure = onStateFailure;
    this.marks = new ProgressMarks(Math.ceil(PROGRESS_MS / tickMs));
    this.slow = new SlowClients(tickMs, {
      resume: (watcher) => {
        this.detach(watcher);
        this.advance(watcher);
      },
      onWait: (watcher) => this.endIfCompacted(watcher),
      onBehind: sayBehind,
      onTooSlow: ({ stalled }, message) => {
        this.tracer.event('warn', 'watch-too-slow', { watches: stalled.size, message });
        for (const watcher of stalled) this.end(watcher, { code: 'KVD_WATCH_TOO_SLOW', message });
      },
    });
    this.reads = new WatchReads(state, {
      mayRead: (watcher) => this.mayRead(watcher),
      onPage: (watchers, page) => this.onPage(watchers, page),
      onReadFailed: (watchers, error) => this.onReadFailed(watchers, error),
    });
  }

  /** Watches that are open. */
  get size(): number {
    return this.count;
  }

  open(sink: WatchSink, watchId: number, request: WatchRequest): void {
    const fromRevision = request.fromRevision === 0 ? this.state.revision + 1 : request.fromRevision;
    const twin = this.clients.get(sink)?.watches.get(watchId);
    if (twin !== undefined) {
      // The messages of the two could not be told apart, nor could the end of only one of them.
      this.end(twin, {
        code: 'KVD_BAD_REQUEST',
        message: `watch id ${watchId} is used twice: both are ended`,
      });
      return;
    }
    const refusal = this.refusal(request, fromRevision);
    if (refusal !== null) {
      const resumeRevision = Math.max(fromRevision, this.state.compactRevision + 1);
      sink.tell(watchId, { type: 'ended', ...refusal, resumeRevision });
      return;
    }
    if (this.count === 0) this.begin();
    const client = this.clients.get(sink) ?? new WatchClient(sink);
    const group = this.ranges.join(request.from, request.to);
    const watcher = new Watcher(client, watchId, group, request.previous, fromRevision);
    this.clients.set(sink, client);
    client.watches.set(watchId, watcher);
    this.marks.add(watcher);
    this.count += 1;
    watcher.tell({ type: 'created', revision: fromRevision - 1 });
    this.advance(watcher);
    this.reads.pump();
  }

  /** Tell no more. */
  close(sink: WatchSink, watchId: number): void {
    const watcher = this.clients.get(sink)?.watches.get(watchId);
    if (watcher !== undefined) this.remove(watcher);
  }

  /** The sink is gone. */
  forget(sink: WatchSink): void {
    for (const watcher of this.clients.get(sink)?.watches.values() ?? []) this.remove(watcher);
  }

  /** Slots were applied. */
  onRevisions(): void {
    if (this.count === 0) return;
    const touched = new Map<WatchGroup, Change[]>();
    for (const revision of this.state.takeRevisions()) {
      if (revision.revision <= this.live) continue;
      if (revision.revision > this.live + 1) break;
      this.recent.push(revision);
      this.live = revision.revision;
      this.distribute(revision, touched);
    }
    for (const [group, changes] of touched) this.tellLive(group, changes);
    if (this.state.revision <= this.live) return;
    this.tracer.event('warn', 'watch-gap', { live: this.live, revision: this.state.revision });
    this.onStateReplaced();
  }

  tick(hasLeader: boolean): void {
    this.leaderlessTicks = hasLeader ? 0 : this.leaderlessTicks + 1;
    if (this.leaderlessTicks >= this.leaderlessTicksMax) this.sendElsewhere();
    this.slow.tick();
    for (const watcher of this.retrying) {
      this.detach(watcher);
      this.advance(watcher);
    }
    for (const watcher of this.marks.tick()) this.mark(watcher);
    this.reads.pump();
  }

  /** Another state stands where the one was that revisions were taken from: a snapshot, or itself read anew. */
  onStateReplaced(): void {
    if (this.count === 0) return;
    this.state.watchRevisions(true);
    // Whoever they concern finds them in the history, or is told when they are applied once more.
    this.state.takeRevisions();
    const toldThrough = this.live;
    this.live = this.state.revision;
    this.recent.clear();
    this.reads.abandon();
    for (const watcher of this.all()) {
      if (watcher.mode === 'live') watcher.advanceTo(toldThrough + 1);
      if (watcher.mode === 'stalled') continue;
      this.detach(watcher);
      this.advance(watcher);
    }
    this.reads.pump();
  }

  /**
   * Nobody may be there to tell us what is chosen: a replica that is cut off, or that was removed and whose peers have left.
   * Its watchers would see a quiet cluster. Whoever comes back to it, for there is no better one, waits as long again.
   */
  private sendElsewhere(): void {
    this.leaderlessTicks = 0;
    if (this.count > 0) this.tracer.event('warn', 'watches-sent-elsewhere', { watches: this.count });
    this.endAll('KVD_UNAVAILABLE', 'this replica has heard no leader for a while');
  }

  /** End all watches, with where to go on elsewhere. */
  endAll(code: ErrorCode, message: string): void {
    for (const watcher of this.all()) this.end(watcher, { code, message });
  }

  /** End all watches and take no more. */
  stop(): void {
    this.stopped = true;
    this.endAll('KVD_UNAVAILABLE', 'this replica is stopping');
  }

  // Who is told as things happen

  /** From now on the state says what it does. */
  private begin(): void {
    this.state.watchRevisions(true);
    this.state.takeRevisions();
    this.live = this.state.revision;
  }

  private distribute({ revision, events }: RevisionEvents, touched: Map<WatchGroup, Change[]>): void {
    for (const [index, event] of events.entries()) {
      this.ranges.find(keyOf(event), (group) => {
        if (group.live.size === 0) return;
        const change = { revision, index, event };
        const changes = touched.get(group);
        if (changes === undefined) touched.set(group, [change]);
        else changes.push(change);
      });
    }
  }

  private tellLive(group: WatchGroup, changes: readonly Change[]): void {
    const portions = new SharedPortions({ revision: this.live + 1, index: 0 });
    const [first] = changes;
    if (first === undefined) return;
    for (const watcher of group.live) {
      const { position } = watcher;
      const wanted = isBefore(first, position)
        ? changes.filter((change) => !isBefore(change, position))
        : changes;
      this.tellPortions(watcher, wanted, portions.of(wanted, watcher));
    }
  }

  /** Until the client is clogged. False: it is, and the watcher stalled. */
  private tellPortions(watcher: Watcher, changes: readonly Change[], portions: readonly Portion[]): boolean {
    const [first] = changes;
    if (first !== undefined) watcher.position = { revision: first.revision, index: first.index };
    for (const portion of portions) {
      if (watcher.client.isClogged) {
        this.stall(watcher);
        return false;
      }
      watcher.tellPortion(portion);
    }
    return true;
  }

  // From one mode to another

  /** Of a watcher that was detached: what it does next. Whoever calls this pumps the reads when it is through. */
  private advance(watcher: Watcher): void {
    const { position, client } = watcher;
    if (position.revision > this.live) this.goLive(watcher);
    else if (client.isClogged) this.stall(watcher);
    else if (this.recent.has(position.revision)) this.catchUp(watcher);
    else if (position.revision <= this.state.compactRevision) this.endCompacted(watcher);
    else this.reads.add(watcher);
  }

  private goLive(watcher: Watcher): void {
    watcher.mode = 'live';
    watcher.group.live.add(watcher);
    if (!watcher.saidBehind) return;
    watcher.saidBehind = false;
    watcher.tell({ type: 'progress', revision: this.resumeOf(watcher) - 1, behind: false });
  }

  private catchUp(watcher: Watcher): void {
    const { group, position } = watcher;
    const changes = changesSince(position, this.recent.since(position.revision), group);
    const portions = new SharedPortions({ revision: this.live + 1, index: 0 }).of(changes, watcher);
    if (!this.tellPortions(watcher, changes, portions)) return;
    watcher.advanceTo(this.live + 1);
    this.goLive(watcher);
  }

  private stall(watcher: Watcher): void {
    const wasLive = watcher.mode === 'live';
    this.detach(watcher);
    watcher.mode = 'stalled';
    this.slow.add(watcher);
    if (wasLive) sayBehind(watcher);
  }

  /** Take it out of where its mode keeps it. */
  private detach(watcher: Watcher): void {
    const { mode } = watcher;
    if (mode === 'live') watcher.group.live.delete(watcher);
    else if (mode === 'waiting') this.reads.remove(watcher);
    else if (mode === 'stalled') this.slow.remove(watcher);
    else if (mode === 'retrying') this.retrying.delete(watcher);
    watcher.mode = 'moving';
  }

  // Who is behind

  private mayRead(watcher: Watcher): boolean {
    if (!watcher.client.isClogged) return true;
    this.stall(watcher);
    return false;
  }

  private onPage(watchers: Iterable<Watcher>, page: HistoryPage): void {
    const end = page.next ?? { revision: page.revision + 1, index: 0 };
    const portions = new SharedPortions(end);
    const changes = changesOfPage(page.revisions);
    for (const watcher of watchers) {
      for (const portion of portions.of(changes, watcher)) watcher.tellPortion(portion);
      watcher.position = end;
      this.detach(watcher);
      this.advance(watcher);
    }
  }

  private onReadFailed(watchers: Iterable<Watcher>, error: Error): void {
    if (hasCode(error, 'KVD_COMPACTED')) {
      for (const watcher of watchers) this.endCompacted(watcher);
      return;
    }
    if (hasCode(error, 'KVD_FUTURE_REVISION') || hasCode(error, 'KVD_UNAVAILABLE')) {
      // The state is being read anew or was replaced, and we were not told of it yet.
      for (const watcher of watchers) {
        watcher.mode = 'retrying';
        this.retrying.add(watcher);
      }
      return;
    }
    const message = `this replica could not read its history: ${error.message}`;
    for (const watcher of watchers) this.end(watcher, { code: 'KVD_STORAGE', message });
    this.onStateFailure(error);
  }

  private endIfCompacted(watcher: Watcher): void {
    const { revision } = watcher.position;
    if (revision <= this.state.compactRevision && !this.recent.has(revision)) this.endCompacted(watcher);
  }

  private mark(watcher: Watcher): void {
    if (!watcher.isFresh && !watcher.client.isClogged) {
      const revision = this.resumeOf(watcher) - 1;
      watcher.tell({ type: 'progress', revision, behind: watcher.saidBehind });
    }
    watcher.isFresh = false;
  }

  // The end

  private refusal({ from, to }: WatchRequest, fromRevision: Revision): Ending | null {
    if (this.stopped) return { code: 'KVD_UNAVAILABLE', message: 'this replica is stopping' };
    if (to.length > 0 && Buffer.compare(from, to) >= 0)
      return { code: 'KVD_BAD_REQUEST', message: 'no key is in the range to watch' };
    if (this.count >= this.watchesMax)
      return { code: 'KVD_OVERLOADED', message: `this replica has ${this.watchesMax} watches already` };
    return fromRevision <= this.state.compactRevision ? this.compacted(fromRevision) : null;
  }

  private compacted(revision: Revision): Ending {
    const restart = this.state.compactRevision + 1;
    return { code: 'KVD_COMPACTED', message: `revision ${revision} is compacted, restart at ${restart}` };
  }

  private endCompacted(watcher: Watcher): void {
    this.end(watcher, this.compacted(watcher.position.revision), this.state.compactRevision + 1);
  }

  private end(watcher: Watcher, ending: Ending, atLeast: Revision = 0): void {
    const resumeRevision = Math.max(atLeast, this.resumeOf(watcher));
    this.remove(watcher);
    watcher.tell({ type: 'ended', ...ending, resumeRevision });
  }

  /** Everything below was told. */
  private resumeOf({ mode, position }: Watcher): Revision {
    return mode === 'live' ? Math.max(position.revision, this.live + 1) : position.revision;
  }

  private remove(watcher: Watcher): void {
    const { client, group } = watcher;
    this.detach(watcher);
    watcher.mode = 'over';
    client.watches.delete(watcher.watchId);
    if (client.watches.size === 0) this.clients.delete(client.sink);
    this.ranges.leave(group);
    this.marks.remove(watcher);
    this.count -= 1;
    if (this.count > 0) return;
    this.state.watchRevisions(false);
    this.recent.clear();
  }

  private *all(): Generator<Watcher> {
    for (const client of this.clients.values()) yield* client.watches.values();
  }
}

/** Not only of revisions: the state may have gone back to before one of which a part was told. */
function isBefore(a: HistoryPosition, b: HistoryPosition): boolean {
  return a.revision < b.revision || (a.revision === b.revision && a.index < b.index);
}

function sayBehind(watcher: Watcher): void {
  if (watcher.saidBehind) return;
  watcher.saidBehind = true;
  watcher.tell({ type: 'progress', revision: watcher.position.revision - 1, behind: true });
}
