/**
 * Reads of the history for watchers that are behind: a few at a time, in the order in which they were asked for, so that
 * they neither hold up each other for long nor anything else. Watchers of the same range at the same place share one.
 */
import { type HistoryPage, KvdError } from '@kvd/protocol';
import type { StateMachine } from './ports.js';
import type { Watcher } from './watcher.js';

const AT_ONCE_MAX = 4;

export interface WatchReadsHandler {
  /** Asked when its turn has come; whoever says no was put elsewhere. */
  mayRead(watcher: Watcher): boolean;
  onPage(watchers: Iterable<Watcher>, page: HistoryPage): void;
  onReadFailed(watchers: Iterable<Watcher>, error: Error): void;
}

export class WatchReads {
  /** In the order of their turns. */
  private readonly queue = new Map<string, Set<Watcher>>();
  private underWay = 0;
  private epoch = 0;
  private isPumping = false;

  constructor(
    private readonly state: Pick<StateMachine, 'history'>,
    private readonly handler: WatchReadsHandler,
  ) {}

  add(watcher: Watcher): void {
    watcher.mode = 'waiting';
    const place = placeOf(watcher);
    const sharers = this.queue.get(place);
    if (sharers === undefined) this.queue.set(place, new Set([watcher]));
    else sharers.add(watcher);
  }

  /** It waits no more. Its position is that with which it was added. */
  remove(watcher: Watcher): void {
    const place = placeOf(watcher);
    const sharers = this.queue.get(place);
    sharers?.delete(watcher);
    if (sharers?.size === 0) this.queue.delete(place);
  }

  /** Forget what is under way: it was read from a state that is no more. */
  abandon(): void {
    this.epoch += 1;
    this.underWay = 0;
  }

  /** Begin what there is room for. */
  pump(): void {
    if (this.isPumping) return;
    this.isPumping = true;
    for (const [place, sharers] of this.queue) {
      if (this.underWay >= AT_ONCE_MAX) break;
      this.queue.delete(place);
      const readers = [...sharers].filter((watcher) => this.handler.mayRead(watcher));
      if (readers.length > 0) this.read(readers);
    }
    this.isPumping = false;
  }

  private read(readers: readonly Watcher[]): void {
    const [first] = readers;
    if (first === undefined) return;
    for (const watcher of readers) watcher.mode = 'reading';
    const { epoch } = this;
    this.underWay += 1;
    const { group, position: start, wantsPrevious: previous } = first;
    const query = { from: group.from, to: group.to, start, limit: 0, previous };
    this.state.history(query, (error, page) => {
      if (epoch !== this.epoch) return;
      this.underWay -= 1;
      const stillThere = readers.filter(({ mode }) => mode === 'reading');
      if (error) this.handler.onReadFailed(stillThere, error);
      else this.handler.onPage(stillThere, page);
      this.pump();
    });
  }
}

export function hasCode(error: Error, code: KvdError['code']): boolean {
  return error instanceof KvdError && error.code === code;
}

function placeOf({ group, position, wantsPrevious }: Watcher): string {
  return `${position.revision} ${position.index} ${wantsPrevious} ${group.text}`;
}
