/**
 * How far a watch has come, over all the subscriptions that it takes to get there. Decides what of a replica's message is
 * new; hands on no event twice, and none above one that is missing. Pure.
 *
 * Why nothing is lost or doubled: a subscription tells all events of its range from `next` on, in order (WatchMessage), and
 * each message names the revision of the last event before it. One that names another than was told last means that
 * something is missing, and then the subscription is given up, not the position. Of a revision whose events came in parts
 * the number handed on is counted; the next subscription tells that revision from its start, and so many are skipped.
 */
import type { KvEvent, Revision, WatchMessage } from '@kvd/protocol';
import { revisionOf } from './watch-event.js';

/** What is to be handed on of a message. */
export interface Portion {
  readonly previousRevision: Revision;
  readonly revision: Revision;
  readonly more: boolean;
  readonly events: readonly KvEvent[];
}

export class WatchPosition {
  /** The revision of the last event handed on, or the one before the first that was asked for. */
  private last: Revision;
  /** The first revision of which not all was handed on; 0 until the first subscription says which. */
  private next: Revision;
  /** Events of revision `next` that were handed on. */
  private handedOn = 0;
  /** What the next message of this subscription has to name; null before it is created. */
  private told: Revision | null = null;
  private toSkip = 0;

  /** 0: from the present revision of the replica on. */
  constructor(fromRevision: Revision) {
    this.next = fromRevision;
    this.last = Math.max(0, fromRevision - 1);
  }

  /** The revision after which the watch begins; undefined as long as no replica has said. */
  get startRevision(): Revision | undefined {
    return this.next === 0 ? undefined : this.last;
  }

  /** A new subscription begins; the revision to ask for. */
  subscribe(): Revision {
    this.told = null;
    this.toSkip = this.handedOn;
    return this.next;
  }

  /** What a message brings, null: nothing to hand on; 'broken': there is a gap before it, subscribe anew. */
  take(message: Exclude<WatchMessage, { type: 'ended' }>): Portion | null | 'broken' {
    if (message.type === 'created') return this.created(message.revision);
    if (this.told === null) return 'broken';
    if (message.type === 'events') return this.events(message);
    // All of `next` came, so the position moves also where nothing happens: it must not fall behind the compaction.
    if (message.revision >= this.next && this.handedOn === 0) this.next = message.revision + 1;
    return null;
  }

  private created(revision: Revision): null | 'broken' {
    if (this.told !== null) return 'broken';
    if (this.next === 0) {
      this.next = revision + 1;
      this.last = revision;
    }
    if (revision !== this.next - 1) return 'broken';
    this.told = revision;
    return null;
  }

  private events(message: Extract<WatchMessage, { type: 'events' }>): Portion | null | 'broken' {
    const { events, previous, revision, more } = message;
    if (previous !== this.told || revision < this.next || !isOrdered(events, this.next, revision))
      return 'broken';
    let skipped = 0;
    while (this.toSkip > 0 && skipped < events.length && isOf(events[skipped], this.next)) {
      this.toSkip -= 1;
      skipped += 1;
    }
    const isPast = revision > this.next || !more;
    if (this.toSkip > 0 && isPast) return 'broken';
    this.told = revision;
    const fresh = skipped === 0 ? events : events.slice(skipped);
    this.advance(fresh, revision, more);
    if (fresh.length === 0) return null;
    const portion = { previousRevision: this.last, revision, more, events: fresh };
    this.last = revision;
    return portion;
  }

  private advance(fresh: readonly KvEvent[], revision: Revision, more: boolean): void {
    if (!more) {
      this.next = revision + 1;
      this.handedOn = 0;
      return;
    }
    if (revision > this.next) this.handedOn = 0;
    this.next = revision;
    for (const event of fresh) if (isOf(event, revision)) this.handedOn += 1;
  }
}

function isOf(event: KvEvent | undefined, revision: Revision): boolean {
  return event !== undefined && revisionOf(event) === revision;
}

/** Do the events go up from `first` to `last`? */
function isOrdered(events: readonly KvEvent[], first: Revision, last: Revision): boolean {
  let before = first;
  for (const event of events) {
    const revision = revisionOf(event);
    if (revision < before) return false;
    before = revision;
  }
  return before <= last;
}
