/**
 * What can still be read of a log that failed its verification. Each record has a checksum of its own, so one that can be
 * read says what was once true: that this was accepted, that so much was known chosen. What cannot be read is passed over.
 * It says nothing of what is missing; judge.ts knows that.
 */
import type { Ballot, ConfigurationAt, Identity, LogEntry, Slot } from '@kvd/paxos';
import type { Done } from '@kvd/replica';
import {
  CONFIGURATIONS_KEY,
  entryKey,
  type Head,
  HEAD_KEY,
  IDENTITY_KEY,
  unsealConfigurations,
  unsealEntry,
  unsealHead,
  unsealIdentity,
} from '../log-records.js';
import { forEachPair, type OrderedStore } from '../ordered-store.js';

export interface Salvaged {
  readonly identity: Identity | null;
  readonly promised: Ballot | null;
  readonly chosenThrough: Slot;
  readonly configurations: readonly ConfigurationAt[];
}

/** `onEntry` gets what can be read from `fromSlot` on, ascending. An iteration that the disk ends early is no error. */
export function salvageLog(
  store: OrderedStore,
  fromSlot: Slot,
  onEntry: (entry: LogEntry) => void,
  done: Done<Salvaged>,
): void {
  const head = tryRead<Head>(store, HEAD_KEY, (record) => unsealHead(record).head);
  const identity = tryRead(store, IDENTITY_KEY, (record) => unsealIdentity(record).identity);
  const list = tryRead(store, CONFIGURATIONS_KEY, (record) => unsealConfigurations(record).configurations);
  const found: Salvaged = {
    identity,
    promised: head?.promised ?? null,
    chosenThrough: head?.chosenThrough ?? 0,
    configurations: list ?? [],
  };
  const range = { gte: entryKey(fromSlot), lt: entryKey(Number.MAX_SAFE_INTEGER) };
  forEachPair(
    store.range(range),
    ([key, record]) => {
      const entry = orNull(() => unsealEntry(key, record).entry);
      if (entry !== null) onEntry(entry);
    },
    () => done(null, found),
  );
}

function tryRead<T>(store: OrderedStore, key: Buffer, read: (record: Buffer) => T): T | null {
  return orNull(() => {
    const record = store.get(key);
    return record === undefined ? null : read(record);
  });
}

function orNull<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
