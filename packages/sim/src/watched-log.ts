/** A log that reports what it writes and reads anew to the judges, and otherwise does what the real one does. */
import type { LogEntry, MarkerNumber, Persist, RecoveredLog, Slot } from '@kvd/paxos';
import type { Done, LogStore } from '@kvd/replica';

export interface LogObserver {
  writing(batch: Persist): void;
  /** Before whoever waits for it hears of it. */
  written(batch: Persist, error: Error | null, marker: MarkerNumber): void;
  reloading(): void;
  reloaded(error: Error | null, recovered: RecoveredLog): void;
}

export class WatchedLog implements LogStore {
  constructor(
    private readonly inner: LogStore,
    private readonly observer: LogObserver,
  ) {}

  get recovered() {
    return this.inner.recovered;
  }

  write(batch: Persist, done: Done<MarkerNumber>): void {
    this.observer.writing(batch);
    this.inner.write(batch, (error, marker) => {
      this.observer.written(batch, error, marker);
      done(error, marker);
    });
  }

  read(fromSlot: Slot, throughSlot: Slot, bytesMax: number, done: Done<LogEntry[]>): void {
    this.inner.read(fromSlot, throughSlot, bytesMax, done);
  }

  reload(done: Done<RecoveredLog>): void {
    this.observer.reloading();
    this.inner.reload((error, recovered) => {
      this.observer.reloaded(error, recovered);
      done(error, recovered);
    });
  }

  close(done: Done<void>): void {
    this.inner.close(done);
  }
}

/** A write as words. */
export function describePersist({
  promised,
  entries,
  chosenThrough,
  configurations,
  cutThrough,
}: Persist): string {
  const parts: string[] = [];
  if (promised) parts.push(`promise ${promised.counter}.${promised.replicaId}`);
  for (const { slot, ballot, value, chosen } of entries)
    parts.push(
      `slot ${slot} ${chosen ? 'chosen' : `at ${ballot.counter}.${ballot.replicaId}`} ${value.type}`,
    );
  if (chosenThrough !== undefined) parts.push(`chosen through ${chosenThrough}`);
  if (configurations) parts.push(`${configurations.length} configurations`);
  if (cutThrough !== undefined) parts.push(`cut through ${cutThrough}`);
  return parts.join(', ');
}
