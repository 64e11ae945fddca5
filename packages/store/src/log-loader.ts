/**
 * Reads a log from disk: at start, at a reload and for the verification, through the same code. Whatever it cannot
 * explain is damage; it never mends anything.
 */
import {
  type Identity,
  type LogEntry,
  type MarkerNumber,
  type RecoveredLog,
  sameBallot,
  ZERO_BALLOT,
} from '@kvd/paxos';
import type { Done } from '@kvd/replica';
import { damaged } from './errors.js';
import {
  CONFIGURATIONS_KEY,
  entryKey,
  type Head,
  HEAD_KEY,
  IDENTITY_KEY,
  keyNumber,
  MARKERS_END,
  type Marker,
  markerKey,
  sealHead,
  sealIdentity,
  sealMarker,
  unsealConfigurations,
  unsealEntry,
  unsealHead,
  unsealIdentity,
  unsealMarker,
} from './log-records.js';
import { MarkerSeries } from './marker-series.js';
import { forEachPair, type OrderedStore, type Pair, type StoreOp } from './ordered-store.js';

export interface LoadedLog {
  readonly recovered: RecoveredLog;
  readonly head: Head;
  readonly series: MarkerSeries;
}

const FIRST_MARKER = 1;

/** The first batch of a new log. */
export function formatLogOps(identity: Identity): StoreOp[] {
  const marker: Marker = {
    promised: ZERO_BALLOT,
    oldestMarker: FIRST_MARKER,
    slots: [],
    identity: true,
    configurations: false,
    checksum: 0,
  };
  return [
    { key: IDENTITY_KEY, value: sealIdentity(FIRST_MARKER, identity) },
    { key: HEAD_KEY, value: sealHead(FIRST_MARKER, freshHead()) },
    { key: markerKey(FIRST_MARKER), value: sealMarker(FIRST_MARKER, marker) },
  ];
}

/** What loadLog finds after formatLogOps were written. */
export function freshLog(identity: Identity): LoadedLog {
  const series = new MarkerSeries(FIRST_MARKER);
  series.add({ slots: [], identity: true, configurations: false });
  const head = freshHead();
  const recovered: RecoveredLog = {
    identity,
    marker: FIRST_MARKER,
    promised: head.promised,
    chosenThrough: 0,
    cutThrough: 0,
    configurations: [],
    accepted: [],
  };
  return { recovered, head, series };
}

/** `onMarker` sees every marker kept, in order. Errors: StoreError damaged, or what the disk says. */
export function loadLog(
  store: OrderedStore,
  done: Done<LoadedLog | null>,
  onMarker: (number: MarkerNumber, marker: Marker) => void = () => {},
): void {
  const fail = (error: unknown): void => {
    const failure = error instanceof Error ? error : damaged(String(error));
    store.defer(() => done(failure, null));
  };
  try {
    const { marker: last, head } = unsealHead(required(store, HEAD_KEY, 'head'));
    readSeries(store, head, onMarker, (error, series) => {
      if (error !== null || series === null) return done(error, null);
      try {
        checkSeries(series, last, head);
        const { identity, configurations } = readMeta(store, series);
        readAccepted(store, head, series, (failure, accepted) => {
          if (failure !== null) return done(failure, null);
          const { promised, chosenThrough, cutThrough, installedThrough } = head;
          const recovered = {
            identity,
            marker: last,
            promised,
            chosenThrough,
            cutThrough,
            installedThrough,
            configurations,
            accepted,
          };
          done(null, { recovered, head, series });
        });
      } catch (thrown) {
        fail(thrown);
      }
    });
  } catch (error) {
    fail(error);
  }
}

/** The entry of `pair`, if it is whole and carries the marker that last wrote its slot. */
export function checkedEntry(series: MarkerSeries, [key, record]: Pair): LogEntry {
  const { marker, entry } = unsealEntry(key, record);
  const owner = series.ownerOf(entry.slot);
  if (owner === undefined) throw damaged(`slot ${entry.slot} is in the log, but no marker names it`);
  if (marker !== owner)
    throw damaged(`slot ${entry.slot} was last written by marker ${owner}, not ${marker}`);
  return entry;
}

function freshHead(): Head {
  return {
    promised: ZERO_BALLOT,
    chosenThrough: 0,
    cutThrough: 0,
    lastSlot: 0,
    oldestMarker: FIRST_MARKER,
    installedThrough: 0,
  };
}

function readSeries(
  store: OrderedStore,
  head: Head,
  onMarker: (number: MarkerNumber, marker: Marker) => void,
  done: Done<MarkerSeries | null>,
): void {
  const series = new MarkerSeries(head.oldestMarker);
  let last: Marker | null = null;
  const visit = ([key, record]: Pair): void => {
    const number = keyNumber(key);
    if (number !== series.last + 1) throw damaged(`marker ${series.last + 1} is missing, ${number} is there`);
    last = unsealMarker(key, record);
    const slots = last.slots.filter((slot) => slot > head.cutThrough);
    series.add({ slots, identity: last.identity, configurations: last.configurations });
    onMarker(number, last);
  };
  forEachPair(store.range({ gte: markerKey(0), lt: MARKERS_END }), visit, (error) => {
    if (error !== null) return done(error, null);
    if (last === null) return done(damaged('there is no marker'), null);
    const { promised, oldestMarker } = last;
    if (oldestMarker !== head.oldestMarker || !sameBallot(promised, head.promised)) {
      return done(damaged('the head and the last marker contradict each other'), null);
    }
    done(null, series);
  });
}

function checkSeries(series: MarkerSeries, last: MarkerNumber, head: Head): void {
  if (series.last !== last)
    throw damaged(`the head was written by marker ${last}, the last one is ${series.last}`);
  for (let slot = head.cutThrough + 1; slot <= head.chosenThrough; slot += 1) {
    if (series.ownerOf(slot) === undefined) throw damaged(`slot ${slot} is chosen, and no marker names it`);
  }
}

function readMeta(
  store: OrderedStore,
  series: MarkerSeries,
): Pick<RecoveredLog, 'identity' | 'configurations'> {
  const identity = unsealIdentity(required(store, IDENTITY_KEY, 'identity'));
  if (identity.marker !== series.identityOwner) throw damaged('the identity is not the one written last');
  if (series.configurationsOwner === 0) return { identity: identity.identity, configurations: [] };
  const configurations = unsealConfigurations(required(store, CONFIGURATIONS_KEY, 'configurations'));
  if (configurations.marker !== series.configurationsOwner) {
    throw damaged('the configurations are not the ones written last');
  }
  return { identity: identity.identity, configurations: configurations.configurations };
}

function readAccepted(
  store: OrderedStore,
  head: Head,
  series: MarkerSeries,
  done: Done<readonly LogEntry[]>,
): void {
  const accepted: LogEntry[] = [];
  let named = 0;
  for (const [slot] of series.ownedSlots()) if (slot > head.chosenThrough) named += 1;
  const range = { gte: entryKey(head.chosenThrough + 1), lt: entryKey(Number.MAX_SAFE_INTEGER) };
  forEachPair(
    store.range(range),
    (pair) => accepted.push(checkedEntry(series, pair)),
    (error) => {
      if (error !== null) return done(error, []);
      if (accepted.length !== named) {
        return done(damaged(`${named} accepted entries are named, ${accepted.length} found`), []);
      }
      done(null, accepted);
    },
  );
}

function required(store: OrderedStore, key: Buffer, what: string): Buffer {
  const record = store.get(key);
  if (record === undefined) throw damaged(`the ${what} is missing`);
  return record;
}
