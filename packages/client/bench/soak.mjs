// Is memory flat under load that goes on? Three replicas on loopback in a scratch directory, puts and gets at a steady rate
// through one client, and the resident memory of each replica as it goes. Run after a build:
//   node packages/client/bench/soak.mjs [--minutes 60] [--rate 2000] [--keys 100000]
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@kvd/client';
import { Cluster, percentile } from './cluster.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    rate: { type: 'string', default: '2000' },
    keys: { type: 'string', default: '100000' },
  },
});
const [minutes, rate, keys] = [values.minutes, values.rate, values.keys].map(Number);
if (![minutes, rate, keys].every((n) => n > 0))
  throw new Error('--minutes, --rate and --keys are numbers above 0');
const BURST_MS = 20;
const SAMPLE_MS = 10_000;
const LINE_MS = Math.min(5 * 60_000, (minutes * 60_000) / 6);

const cluster = await Cluster.start();
try {
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  const value = new Uint8Array(100);
  const samples = [];
  let [asked, failed] = [0, 0];
  const beganMs = performance.now();
  const passedMs = () => performance.now() - beganMs;
  const count = () => failed++;
  let [sampledMs, printedMs] = [0, 0];
  while (passedMs() < minutes * 60_000) {
    for (const due = (passedMs() / 1000) * rate; asked < due; asked++) {
      const key = `key${Math.floor(Math.random() * keys)}`;
      (asked % 4 === 0 ? kv.get(key) : kv.put(key, crypto.getRandomValues(value).slice())).catch(count);
    }
    if (passedMs() - sampledMs >= SAMPLE_MS) {
      sampledMs = passedMs();
      samples.push({ ms: sampledMs, all: cluster.memory(), own: cluster.ownMemory() });
    }
    if (passedMs() - printedMs >= LINE_MS) {
      const since = samples.filter(({ ms }) => ms > printedMs);
      printedMs = passedMs();
      const medians = (what) =>
        cluster.replicas.map((_, i) => median(since.map((sample) => sample[what][i]))).join(', ');
      const done = asked.toLocaleString('en');
      console.log(
        `${(printedMs / 60_000).toFixed(0)} min: ${medians('all')} MiB, without mapped files ${medians('own')}; ${done} operations, ${failed} failed`,
      );
    }
    await sleep(BURST_MS);
  }
  await kv.close();
} finally {
  cluster.stop();
}

function median(numbers) {
  return percentile(
    [...numbers].sort((a, b) => a - b),
    0.5,
  );
}
