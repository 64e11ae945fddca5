/**
 * A guard against getting slower: what a put costs, in messages, frames, bytes, syncs and records written, on three
 * replicas with the settings of a daemon. Counted, not timed, so it does not depend on the machine. Whoever makes it
 * cheaper lowers the figures here; who makes it dearer says why.
 */
import { type KvdOptions, parseCommandLine } from '@kvd/kvd';
import { test } from 'tap';
import { CountedCluster, type Counts } from './support/counted-cluster.js';

const COMMANDS = 4_000;
/** Of all three replicas, for 1,000 puts of 100 B. */
const PER_1000: Record<number, Counts> = {
  1: {
    messages: 4_320,
    frames: 4_080,
    frameBytes: 463_026,
    logSyncs: 3_000,
    logRecords: 9_000,
    logBytes: 930_000,
    stateSyncs: 120,
    stateRecords: 6_612,
    stateBytes: 1_229_723,
  },
  64: {
    messages: 69,
    frames: 65,
    frameBytes: 264_846,
    logSyncs: 47,
    logRecords: 142,
    logBytes: 401_123,
    stateSyncs: 2,
    stateRecords: 7_193,
    stateBytes: 1_419_093,
  },
  1024: {
    messages: 4,
    frames: 4,
    frameBytes: 262_166,
    logSyncs: 3,
    logRecords: 10,
    logBytes: 393_539,
    stateSyncs: 1,
    stateRecords: 3_029,
    stateBytes: 667_647,
  },
};
/** What may be added without a word. */
const SLACK = 1.02;

async function defaults(): Promise<KvdOptions> {
  const argv = ['--id', '1', '--peers', '1=127.0.0.1:1', '--data', 'unused'];
  const parsed = await parseCommandLine(argv, {}, '0.0.0');
  if (parsed.type !== 'run') throw new Error('there are no defaults');
  return parsed.options;
}

for (const [inFlight, allowed] of Object.entries(PER_1000)) {
  test(`1,000 puts at ${inFlight} in flight cost no more messages, bytes, syncs and records than they did`, async (t) => {
    const cluster = await CountedCluster.start(await defaults());
    const load = { keys: 2_000, valueBytes: 100, inFlight: Number(inFlight) };
    cluster.put({ ...load, commands: COMMANDS });
    const counts = cluster.put({ ...load, commands: COMMANDS });
    for (const [name, count] of Object.entries(counts)) {
      const cost = Math.round((1000 * count) / COMMANDS);
      const most = Math.ceil(allowed[name as keyof Counts] * SLACK);
      t.ok(cost <= most, `${name}: ${cost}, at most ${most}`);
    }
  });
}

/** Of all three replicas, for 1,000 puts of 10 KB, 64 in flight: a value once in the log, once in the state. */
const LARGE_PER_1000 = { logBytes: 30_827_507, stateBytes: 26_356_280 };

test('a large value is written once to the log and once to the state', async (t) => {
  const cluster = await CountedCluster.start(await defaults());
  const load = { keys: 500, valueBytes: 10_240, inFlight: 64, commands: 2_000 };
  cluster.put(load);
  const counts = cluster.put(load);
  for (const [name, allowed] of Object.entries(LARGE_PER_1000)) {
    const found = Math.round((1000 * counts[name as keyof Counts]) / load.commands);
    t.ok(found <= allowed * SLACK, `${name}: ${found} for 1,000 puts, ${allowed} are allowed`);
  }
});

test('a cluster that is asked nothing is quiet, and wakes up for a put', async (t) => {
  const options = await defaults();
  const cluster = await CountedCluster.start(options);
  cluster.put({ commands: 10, keys: 10, valueBytes: 100, inFlight: 1 });
  t.strictSame(cluster.quiet, [false, false, false]);
  // A turn is a millisecond.
  cluster.rest(2_000);
  t.strictSame(cluster.quiet, [true, true, true]);
  const { messages, frames, logSyncs, stateSyncs } = cluster.rest(10_000);
  t.strictSame({ logSyncs, stateSyncs }, { logSyncs: 0, stateSyncs: 0 }, 'nothing is written');
  t.ok(frames <= 400, `${frames} frames in ten seconds: a heartbeat each 100 ms to and from each follower`);
  t.ok(messages <= 800, `${messages} messages in them`);
  cluster.put({ commands: 1, keys: 10, valueBytes: 100, inFlight: 1 });
  t.strictSame(cluster.quiet, [false, false, false]);
});
