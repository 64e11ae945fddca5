// A million keys of 100 B backed up while eight writers go on, checked, restored and started: time, size, hashes, and
// what the writers notice.  node packages/kvctl/bench/backup.mjs [KEYS]
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { createHistogram, performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connect } from '@kvd/client';
import { Cluster } from '../../client/bench/cluster.mjs';

const KEYS = Number(process.argv[2] ?? 1_000_000);
const VALUE = Buffer.alloc(100, 'v');
const IN_FLIGHT = 1024;
const WRITERS = 8;
const QUIET_MS = 5_000;
const kvctlBin = fileURLToPath(new URL('../../../bin/kvctl', import.meta.url));

/** What it printed, and the processor time that it took: wall time says little on a machine that does other things too. */
async function kvctl(...args) {
  const script = 'exec 3>&2; "$@" 2>&3; times >&2';
  const words = ['-c', script, 'sh', process.execPath, kvctlBin, '-o', 'json', ...args];
  const { stdout, stderr } = await promisify(execFile)('sh', words);
  const [, minutes, seconds, sysMinutes, sysSeconds] =
    /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(stderr) ?? [];
  const cpu = Number(minutes) * 60 + Number(seconds) + Number(sysMinutes) * 60 + Number(sysSeconds);
  return { ...JSON.parse(stdout.split('\n')[0]), cpu: `${cpu.toFixed(1)} s of processor time` };
}

async function timed(work) {
  const begunMs = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - begunMs) / 1000 };
}

async function load(kv) {
  let next = 0;
  const lane = async () => {
    while (next < KEYS) await kv.put(`key ${String(next++).padStart(9, '0')}`, VALUE);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

/** Writers, one put each at a time, until `work` is done: how long their puts took. */
async function besides(kv, work) {
  const latencies = createHistogram();
  let done = false;
  const writer = async (n) => {
    for (let i = 0; !done; i++) {
      const begunMs = performance.now();
      await kv.put(`writer ${n} ${i % 100}`, VALUE);
      latencies.record(Math.max(1, Math.round((performance.now() - begunMs) * 1000)));
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, n) => writer(n));
  const result = await work();
  done = true;
  await Promise.all(writers);
  const ms = (p) => (latencies.percentile(p) / 1000).toFixed(1);
  return { result, text: `p50 ${ms(50)} ms, p99 ${ms(99)} ms of ${latencies.count} puts` };
}

const say = (what, text) => console.log(`${what.padEnd(34)} ${text}`);

const cluster = await Cluster.start();
const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 60_000 });
try {
  const loaded = await timed(() => load(kv));
  say(`load of ${KEYS} keys`, `${loaded.seconds.toFixed(1)} s`);
  const statuses = () =>
    Promise.all(cluster.endpoints.map(async (e) => (await fetch(`http://${e}/v1/status`)).json()));
  const leader = (await statuses()).findIndex(({ role }) => role === 'leader');

  const quiet = await besides(kv, () => new Promise((resolve) => setTimeout(resolve, QUIET_MS)));
  say('writers alone', quiet.text);
  const file = path.join(cluster.directory, 'bench.backup');
  let saved;
  for (const [who, i] of [
    ['a follower', (leader + 1) % cluster.endpoints.length],
    ['the leader', leader],
  ]) {
    const before = cluster.memory()[i];
    let peak = before;
    const watch = setInterval(() => (peak = Math.max(peak, cluster.memory()[i])), 50);
    const save = await besides(kv, () =>
      timed(() =>
        kvctl('-e', cluster.endpoints[i], '--timeout', '60000', 'snapshot', 'save', file, '--overwrite'),
      ),
    );
    clearInterval(watch);
    saved = save.result.result;
    say(`save from ${who}`, `${save.result.seconds.toFixed(1)} s, ${saved.cpu}, ${saved.keys} keys`);
    say('  writers meanwhile', save.text);
    say('  resident memory of the replica', `${before} MiB before, at most ${peak} MiB`);
  }
  const size = statSync(file).size;
  say('size', `${(size / 1e6).toFixed(1)} MB, ${(size / saved.keys).toFixed(0)} B a key`);

  const checked = await timed(() => kvctl('snapshot', 'status', file));
  say(
    'status',
    `${checked.seconds.toFixed(1)} s, ${checked.result.cpu}, content hash ${checked.result.contentHash}`,
  );
  const data = path.join(cluster.directory, 'restored');
  const restored = await timed(() =>
    kvctl('snapshot', 'restore', file, '--data', data, '--peers', cluster.peers),
  );
  say(
    'restore of three directories',
    `${restored.seconds.toFixed(1)} s, ${restored.result.cpu}, content hash ${restored.result.contentHash}`,
  );

  await kv.close();
  await Promise.all(
    cluster.replicas.map((replica) => {
      replica.kill('SIGTERM');
      return once(replica, 'exit');
    }),
  );
  for (const i of cluster.replicas.keys()) {
    const directory = path.join(cluster.directory, String(i + 1));
    rmSync(directory, { recursive: true });
    renameSync(path.join(data, `replica-${i + 1}`), directory);
  }
  const begunMs = performance.now();
  for (const i of cluster.replicas.keys()) cluster.replicas[i] = cluster.spawn(i);
  const again = await connect({ endpoints: cluster.endpoints, timeoutMs: 60_000 });
  await again.get('key 000000000');
  say('start until a read', `${((performance.now() - begunMs) / 1000).toFixed(1)} s`);
  const counted = await timed(() => again.count({ prefix: '' }));
  say('count of all', `${counted.result} keys in ${counted.seconds.toFixed(1)} s`);
  const hashes = new Set((await statuses()).map(({ stateHash }) => stateHash));
  say('state hashes of the replicas', [...hashes].join(' and '));
  await again.close();
} finally {
  cluster.stop();
}
