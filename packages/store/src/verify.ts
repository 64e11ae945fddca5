/**
 * The verification of a log at start (DESIGN 5): one streaming pass that tells a log that kept everything it
 * acknowledged from one that may have lost a promise. In kvd it runs in a child process (verify-main.ts), because
 * LevelDB may abort over a damaged table; the simulator calls it directly. It must never mend anything.
 */
import type { MarkerNumber, RecoveredLog } from '@kvd/paxos';
import type { Done } from '@kvd/replica';
import { damaged } from './errors.js';
import { checkedEntry, loadLog } from './log-loader.js';
import { entryKey, type Marker } from './log-records.js';
import { forEachPair, type OrderedStore } from './ordered-store.js';
import { sealedCrc } from './sealed.js';

/** Of the entries that one marker's write wrote, as named and as found. */
interface Tally {
  readonly named: number;
  readonly checksum: number;
  found: number;
  sum: number;
}

/**
 * The series begins at the oldest marker named, has no gap and reaches `acknowledged`; every record that a marker
 * names is there, whole and with that number, unless a later marker rewrote or cut it.
 * Errors: StoreError damaged with the reason.
 */
export function verifyLog(
  store: OrderedStore,
  acknowledged: MarkerNumber,
  done: Done<RecoveredLog | null>,
): void {
  const tallies = new Map<MarkerNumber, Tally>();
  const onMarker = (number: MarkerNumber, marker: Marker): void => {
    tallies.set(number, { named: marker.slots.length, checksum: marker.checksum, found: 0, sum: 0 });
  };
  loadLog(
    store,
    (error, loaded) => {
      if (error !== null || loaded === null) return done(error, null);
      const { series, recovered } = loaded;
      if (recovered.marker < acknowledged) {
        return done(
          damaged(`marker ${acknowledged} was acknowledged, the last one is ${recovered.marker}`),
          null,
        );
      }
      let found = 0;
      const range = { gte: entryKey(0), lt: entryKey(Number.MAX_SAFE_INTEGER) };
      forEachPair(
        store.range(range),
        (pair) => {
          const { slot } = checkedEntry(series, pair);
          const tally = tallies.get(series.ownerOf(slot) ?? 0);
          if (tally !== undefined) {
            tally.found += 1;
            tally.sum = (tally.sum + sealedCrc(pair[1])) >>> 0;
          }
          found += 1;
        },
        (failure) => {
          if (failure !== null) return done(failure, null);
          if (found !== series.slots) {
            return done(damaged(`${series.slots} entries are named, ${found} found`), null);
          }
          for (const [number, tally] of tallies) {
            if (tally.found === tally.named && tally.sum !== tally.checksum) {
              return done(damaged(`what marker ${number} wrote fails its checksum`), null);
            }
          }
          done(null, recovered);
        },
      );
    },
    onMarker,
  );
}
