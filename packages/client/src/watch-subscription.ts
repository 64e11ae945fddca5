/**
 * What keeps one watch going: subscribes at a replica, takes what it tells, gives the subscription up when the reader does
 * not keep up, when the link is lost or when something is missing, and subscribes anew from the position reached.
 */
import { KvdError, type WatchMessage, type WatchRequest } from '@kvd/protocol';
import type { Link } from './link.js';
import { Watch, type WatchBounds } from './watch.js';
import { WatchPosition } from './watch-position.js';

export interface SubscriptionHost {
  now(): number;
  random(): number;
  /** The link to subscribe on; null: none now, linkReady comes. */
  currentLink(): Link | null;
  nextWatchId(): number;
  /** It waits for a link, or for its time to try again. */
  waits(): void;
  /** A replica cannot serve it. */
  refused(link: Link, error: KvdError): void;
  closed(subscription: Subscription): void;
}

type State =
  /** For a link, and for `untilMs`. */
  | { readonly phase: 'waiting'; readonly untilMs: number }
  | { readonly phase: 'subscribed'; readonly link: Link; readonly watchId: number }
  /** The reader has not taken what there is. */
  | { readonly phase: 'paused' }
  | { readonly phase: 'closed' };

const BACK_OFF_MS_MIN = 50;
const BACK_OFF_MS_MAX = 5_000;

export class Subscription {
  readonly watch: Watch;
  /** Called once, when it is over. */
  onClosed: (() => void) | null = null;
  private state: State = { phase: 'waiting', untilMs: 0 };
  private readonly position: WatchPosition;
  private failures = 0;

  constructor(
    private readonly host: SubscriptionHost,
    private readonly request: WatchRequest,
    bounds: WatchBounds,
  ) {
    this.position = new WatchPosition(request.fromRevision);
    this.watch = new Watch(bounds, { roomAgain: () => this.onRoomAgain(), closed: () => this.close() });
  }

  /** Subscribe, if it waits for that and its time has come. */
  proceed(): void {
    if (this.state.phase !== 'waiting') return;
    const link = this.host.currentLink();
    if (link === null || this.host.now() < this.state.untilMs) {
      this.host.waits();
      return;
    }
    const watchId = this.host.nextWatchId();
    this.state = { phase: 'subscribed', link, watchId };
    const fromRevision = this.position.subscribe();
    link.watch(watchId, { ...this.request, fromRevision }, this);
  }

  /** There is a link to go on with, which may be another one. */
  moveTo(link: Link): void {
    if (this.state.phase === 'subscribed' && this.state.link !== link) this.unsubscribe();
    this.proceed();
  }

  /** What was told on `link` is all that will be. */
  linkLost(link: Link): void {
    if (this.state.phase !== 'subscribed' || this.state.link !== link) return;
    this.state = { phase: 'waiting', untilMs: 0 };
    this.proceed();
  }

  onMessage(message: WatchMessage): void {
    if (this.state.phase !== 'subscribed') return;
    if (message.type === 'ended') {
      this.onEnded(message);
      return;
    }
    const portion = this.position.take(message);
    if (portion === 'broken') {
      this.unsubscribe();
      this.retry();
      return;
    }
    if (message.type === 'created') {
      this.watch.begin(this.position.startRevision ?? message.revision);
      return;
    }
    this.failures = 0;
    if (portion === null) return;
    this.watch.push(portion);
    if (!this.watch.isFull) return;
    this.unsubscribe();
    this.state = { phase: 'paused' };
  }

  private onEnded({ code, message, resumeRevision }: Extract<WatchMessage, { type: 'ended' }>): void {
    if (this.state.phase !== 'subscribed') return;
    const { link, watchId } = this.state;
    link.watches.delete(watchId);
    const error = new KvdError(code, message, 'not-done');
    if (MAY_RESUME.has(code)) {
      this.host.refused(link, error);
      this.retry();
      return;
    }
    if (code === 'KVD_COMPACTED') {
      error.compactRevision = resumeRevision - 1;
      error.resumeRevision = resumeRevision;
    }
    this.watch.end(error);
  }

  private onRoomAgain(): void {
    if (this.state.phase !== 'paused') return;
    this.state = { phase: 'waiting', untilMs: 0 };
    this.proceed();
  }

  private close(): void {
    this.unsubscribe();
    this.state = { phase: 'closed' };
    this.host.closed(this);
  }

  private unsubscribe(): void {
    if (this.state.phase !== 'subscribed') return;
    this.state.link.unwatch(this.state.watchId);
    this.state = { phase: 'waiting', untilMs: 0 };
  }

  private retry(): void {
    const backOffMs = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS_MIN * 2 ** this.failures++);
    this.state = { phase: 'waiting', untilMs: this.host.now() + backOffMs * (0.5 + this.host.random() / 2) };
    this.host.waits();
  }
}

/** Of the replica, for the moment, or of this reader, who then goes on from where it was. */
const MAY_RESUME: ReadonlySet<string> = new Set([
  'KVD_WATCH_TOO_SLOW',
  'KVD_OVERLOADED',
  'KVD_UNAVAILABLE',
  'KVD_STORAGE',
  'KVD_STATE_DIVERGED',
]);
