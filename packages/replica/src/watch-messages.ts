/** From changes to the messages that tell them, each small enough for a frame. Pure. */
import {
  eventBytes,
  type HistoryPosition,
  type KvEvent,
  PAGE_BYTES_MAX,
  PAGE_ENTRIES_MAX,
  type Revision,
  type RevisionEvents,
  type WatchMessage,
} from '@kvd/protocol';

/** One event and its place in the history. */
export interface Change extends HistoryPosition {
  readonly event: KvEvent;
}

export type EventsMessage = Extract<WatchMessage, { type: 'events' }>;

/** A message, and where the one after it begins. */
export interface Portion {
  readonly message: EventsMessage;
  readonly next: HistoryPosition;
}

/** Of a watcher, what its next message depends on. */
interface Told {
  /** The revision of the last event that it was told. */
  readonly previous: Revision;
  readonly wantsPrevious: boolean;
}

/**
 * @param changes in order, at least one
 * @param previous of the first message: the revision of the last event before
 * @param end where that begins which comes after all of them
 */
export function portionsOf(
  changes: readonly Change[],
  previous: Revision,
  withPrevious: boolean,
  end: HistoryPosition,
): Portion[] {
  const portions: Portion[] = [];
  let events: KvEvent[] = [];
  let bytes = 0;
  let before = previous;
  const close = (revision: Revision, next: HistoryPosition): void => {
    const more = next.revision === revision;
    portions.push({ message: { type: 'events', previous: before, revision, more, events }, next });
    before = revision;
    events = [];
    bytes = 0;
  };
  let last: Revision = previous;
  for (const change of changes) {
    const event = withPrevious ? change.event : withoutPrevious(change.event);
    const size = eventBytes(event);
    if (events.length > 0 && (bytes + size > PAGE_BYTES_MAX || events.length >= PAGE_ENTRIES_MAX))
      close(last, { revision: change.revision, index: change.index });
    events.push(event);
    bytes += size;
    last = change.revision;
  }
  close(last, end);
  return portions;
}

/**
 * The events of a page of the history. Their indices count from where the page begins in its revision and are good for
 * nothing but their order: a page is told whole.
 */
export function changesOfPage(revisions: readonly RevisionEvents[]): Change[] {
  return revisions.flatMap(({ revision, events }) =>
    events.map((event, index) => ({ revision, index, event })),
  );
}

/** Of whole revisions, what begins at `start` and lies in the range. */
export function changesSince(
  start: HistoryPosition,
  revisions: readonly RevisionEvents[],
  range: { holds(key: Uint8Array): boolean },
): Change[] {
  const changes: Change[] = [];
  for (const { revision, events } of revisions) {
    for (const [index, event] of events.entries()) {
      if (revision === start.revision && index < start.index) continue;
      if (range.holds(keyOf(event))) changes.push({ revision, index, event });
    }
  }
  return changes;
}

export function keyOf(event: KvEvent): Uint8Array {
  return event.type === 'put' ? event.entry.key : event.key;
}

function withoutPrevious(event: KvEvent): KvEvent {
  return event.previous === null ? event : { ...event, previous: null };
}

/** The messages of the same changes, made once for all watchers that were told the same before. */
export class SharedPortions {
  private readonly made = new Map<string, readonly Portion[]>();

  constructor(private readonly end: HistoryPosition) {}

  /** `changes`: told apart by their number, for they all end alike. */
  of(changes: readonly Change[], { previous, wantsPrevious }: Told): readonly Portion[] {
    if (changes.length === 0) return [];
    const key = `${changes.length} ${previous} ${wantsPrevious}`;
    let portions = this.made.get(key);
    if (portions === undefined) {
      portions = portionsOf(changes, previous, wantsPrevious, this.end);
      this.made.set(key, portions);
    }
    return portions;
  }
}
