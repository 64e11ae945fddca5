/**
 * The watches of a client: which there are, on which link they are subscribed, and when those that wait try again. They
 * are all on the link in use, and go where it goes.
 */
import { KvdError, WATCHES_PER_CONNECTION_MAX, type WatchMessage, type WatchRequest } from '@kvd/protocol';
import { onAbort } from './abort.js';
import type { Link } from './link.js';
import type { Watch, WatchBounds } from './watch.js';
import { Subscription } from './watch-subscription.js';

export interface WatchManagerHost {
  currentLink(): Link | null;
  /** Something waits: tick() from now on, until nothing does. */
  wake(): void;
  refused(link: Link, error: KvdError): void;
}

/** How often it is looked whether the link is still alive, while nothing else asks. */
const LIFE_MS = 1_000;

export class WatchManager {
  private readonly subscriptions = new Set<Subscription>();
  private lastWatchId = 0;
  private life: NodeJS.Timeout | null = null;
  /** As of the last look: does any wait? */
  private waiting = false;
  private closedBy: KvdError | null = null;
  private readonly subscriptionHost;

  constructor(
    private readonly host: WatchManagerHost,
    private readonly now: () => number,
    random: () => number,
  ) {
    this.subscriptionHost = {
      now,
      random,
      currentLink: () => host.currentLink(),
      nextWatchId: () => ++this.lastWatchId,
      waits: () => this.onWaits(),
      refused: (link: Link, error: KvdError) => host.refused(link, error),
      closed: (subscription: Subscription) => this.onClosed(subscription),
    };
  }

  /** Does any need a link, or wait to try again? */
  get isWaiting(): boolean {
    return this.waiting;
  }

  /** @throws KvdError KVD_OVERLOADED, KVD_CLOSED */
  open(request: WatchRequest, bounds: WatchBounds, signal: AbortSignal | undefined): Watch {
    if (this.closedBy !== null) throw this.closedBy;
    if (signal?.aborted) throw aborted(signal);
    if (this.subscriptions.size >= WATCHES_PER_CONNECTION_MAX)
      throw new KvdError('KVD_OVERLOADED', `${this.subscriptions.size} watches are open already`);
    const subscription = new Subscription(this.subscriptionHost, request, bounds);
    const { watch } = subscription;
    this.subscriptions.add(subscription);
    if (signal !== undefined) {
      subscription.onClosed = onAbort(signal, () => watch.end(aborted(signal)));
    }
    this.life ??= setInterval(() => this.checkLife(), LIFE_MS).unref();
    subscription.proceed();
    return watch;
  }

  linkReady(link: Link): void {
    for (const subscription of this.subscriptions) subscription.moveTo(link);
  }

  linkLost(link: Link): void {
    for (const subscription of this.subscriptions) subscription.linkLost(link);
  }

  onMessage(link: Link, watchId: number, message: WatchMessage): void {
    link.takeWatchMessage(watchId, this.now())?.onMessage(message);
  }

  /** Subscribe those whose time has come. */
  tick(): void {
    if (!this.waiting) return;
    this.waiting = false;
    for (const subscription of this.subscriptions) subscription.proceed();
  }

  /** End all of them. */
  close(error: KvdError): void {
    this.closedBy = error;
    for (const { watch } of this.subscriptions) watch.end(error);
  }

  private onWaits(): void {
    if (this.waiting) return;
    this.waiting = true;
    this.host.wake();
  }

  private onClosed(subscription: Subscription): void {
    this.subscriptions.delete(subscription);
    subscription.onClosed?.();
    if (this.subscriptions.size > 0 || this.life === null) return;
    clearInterval(this.life);
    this.life = null;
  }

  private checkLife(): void {
    if (this.host.currentLink()?.isSilent(this.now()) !== false) this.host.wake();
  }
}

function aborted(signal: AbortSignal): KvdError {
  const error = new KvdError('KVD_CLOSED', 'the watch was aborted');
  error.cause = signal.reason;
  return error;
}
