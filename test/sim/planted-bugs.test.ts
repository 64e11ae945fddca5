/**
 * Can the simulator fail? Bugs are planted one at a time, by putting other code in the place of a part of the product,
 * and each has to be found within two thousand seeds. A line for each says after how many it was, how much processor
 * time that took, and which rule objected.
 */
import { PLANTED_BUGS } from '@kvd/sim';
import t from 'tap';
import { mustBeFound } from './support/hunt.js';

t.setTimeout(900_000);

/** What has to be planted at least. */
const NEEDED: readonly (readonly [string, string])[] = [
  ['answer before the sync', 'answer-before-sync'],
  ['forget the promise at restart', 'forgotten-promise'],
  ['a quorum too small by one, of an odd size', 'small-quorum-odd'],
  ['a quorum too small by one, of an even size', 'small-quorum-even'],
  ["take the lowest ballot's value", 'lowest-ballot'],
  ['no no-op in a gap', 'no-noop'],
  ['trust chosenThrough of another ballot', 'foreign-chosen-through'],
  ['reuse a ballot after a crash', 'reused-ballot'],
  ["count a wiped replica's vote", 'wiped-vote'],
  ['count a vote twice', 'double-vote'],
  ['read without the quorum round', 'read-without-round'],
  ['read before the own-ballot slot', 'read-before-own-slot'],
  ['no de-duplication', 'no-deduplication'],
  ['de-duplication table left out of snapshots', 'snapshot-without-results'],
  ['skip a slot at snapshot install', 'skipped-slot'],
  ['cut the log too far', 'long-cut'],
  ['flush state without appliedThrough', 'flush-without-mark'],
  ['apply depends on local time', 'local-time'],
  ["a lease expires on the leader's wall clock", 'wall-clock-leases'],
  ['apply does not look again at expire-leases', 'expire-unseen'],
  ['watch loses events at the change-over from history to live', 'watch-changeover'],
  ['watch doubles events after a resume', 'watch-doubles'],
  ['compaction removes a version that can still be read', 'long-compaction'],
  ['history left out of snapshots', 'snapshot-without-history'],
  ['leases left out of snapshots', 'snapshot-without-leases'],
  ['result of a transaction not kept for the retry', 'txn-not-kept'],
  ['outcome does not fence', 'outcome-without-fence'],
  ['a transaction applied in part', 'partial-txn'],
  ['a configuration in force at once instead of alpha later', 'in-force-at-once'],
  ['a quorum of the old configuration only', 'old-quorum'],
  ['re-admission before catch-up', 'early-readmission'],
  ['votes of the old incarnation still counted', 'old-incarnation-counts'],
  ['a removed replica that still votes', 'removed-votes'],
  ['a witness that forgets values: cuts its log too far', 'witness-cuts-too-far'],
  ['a witness that forgets values: skips too far', 'witness-skips-too-far'],
  ['a witness that skips to where somebody took a snapshot', 'witness-skips-installed'],
  ['a snapshot of what its log has not on disk', 'snapshot-ahead-of-log'],
  ['a leader that does not ask the voters of a new configuration', 'unasked-voters'],
  ['nobody minds that a directory was rolled back', 'marker-blind'],
  ['who is no voter probes', 'stranger-probes'],
  ['a promise counts when its first page is in', 'first-page-is-all'],
  ['the hashes of states are never compared', 'digest-never-speaks'],
  ['configurations left out of snapshots', 'snapshot-forgets-members'],
  ['configurations lost with a cut', 'cut-forgets-members'],
];

t.test('none is left out that has to be there', async (t) => {
  const names = new Set(PLANTED_BUGS.map(({ name }) => name));
  t.equal(names.size, PLANTED_BUGS.length, 'names are unique');
  for (const [what, name] of NEEDED) t.ok(names.has(name), what);
});

for (const bug of PLANTED_BUGS) mustBeFound(t, bug);
