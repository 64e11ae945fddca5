// Load generators written in C, so that no Node client is measured: 64 connections to the leader, one request at a time on
// each, always the same key. h2load for HTTP/1.1 (kvd) and gRPC (etcd), wrk for HTTP/1.1 once more, redis-benchmark.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster } from '../cluster.mjs';
import { grpcFrame } from '../grpc-frame.mjs';
import { ask, askJson, programPath } from '../systems/probes.mjs';
import { VALUE_BYTES } from '../workloads.mjs';

const CONNECTIONS = 64;
const TABLE = `Load generators in C, requests a second, ${CONNECTIONS} connections`;
const KEY = 'key';
const GENERATORS = [
  { label: 'kvd', system: 'kvd', program: 'h2load', debian: 'nghttp2-client', load: h2loadOnKvd },
  { label: 'kvd (wrk)', system: 'kvd', program: 'wrk', debian: 'wrk', load: wrkOnKvd },
  { label: 'etcd', system: 'etcd', program: 'h2load', debian: 'nghttp2-client', load: h2loadOnEtcd },
  {
    label: 'redis',
    system: 'redis',
    program: 'redis-benchmark',
    debian: 'redis-tools',
    load: redisBenchmark,
  },
];

export async function neutral(run) {
  const generators = GENERATORS.filter(({ system, program, label, debian }) => {
    if (!run.systems.some(({ name }) => name === system)) return false;
    if (programPath(program)) return true;
    run.leaveOut(`${label} under a load generator`, `no ${program} on PATH (Debian: ${debian})`);
    return false;
  });
  const { rounds } = run.options;
  for (let round = 1; round <= rounds; round++) {
    for (const { label, system, load } of generators) {
      await run.attempt(`${label}, load generator, round ${round} of ${rounds}`, () =>
        measure(
          run,
          label,
          run.systems.find(({ name }) => name === system),
          load,
        ),
      );
    }
  }
}

async function measure(run, label, system, load) {
  const cluster = await Cluster.start(run.scratch, system);
  try {
    const leader = await cluster.leader();
    const value = path.join(cluster.directory, 'value');
    writeFileSync(value, randomBytes(VALUE_BYTES));
    for (const column of ['put', 'get']) {
      const figures = await load({ ...run.options, scratch: run.scratch, cluster, leader, value, column });
      run.figures.record({ table: TABLE, column, system: label, ...figures });
    }
  } finally {
    await cluster.stop();
  }
}

async function h2loadOnKvd(setting) {
  const url = `http://${setting.leader.address}/v1/kv/${KEY}`;
  const put = ['-d', setting.value, '-H', ':method: PUT'];
  const versionNow = () => kvdVersion(url);
  return h2load(setting, ['--h1', ...(setting.column === 'put' ? put : []), url], versionNow);
}

async function h2loadOnEtcd(setting) {
  const base = `http://${setting.leader.address}`;
  const key = Buffer.from(KEY);
  const frame = setting.column === 'put' ? grpcFrame(key, readFileSync(setting.value)) : grpcFrame(key);
  const data = path.join(setting.cluster.directory, `${setting.column}.grpc`);
  writeFileSync(data, frame);
  const url = `${base}/etcdserverpb.KV/${setting.column === 'put' ? 'Put' : 'Range'}`;
  const args = ['-d', data, '-H', 'content-type: application/grpc', '-H', 'te: trailers', url];
  const body = JSON.stringify({ key: key.toString('base64') });
  const versionNow = async () => {
    const { kvs = [] } = await askJson(`${base}/v3/kv/range`, { method: 'POST', body });
    return Number(kvs[0]?.version ?? 0);
  };
  return h2load(setting, args, versionNow);
}

/** How often the key was put. */
async function kvdVersion(url) {
  const response = await fetch(url);
  await response.arrayBuffer();
  return Number(response.headers.get('Kvd-Version') ?? 0);
}

/**
 * A gRPC call that failed is a 200 to h2load. So for puts the key's version tells whether they were done, and for gets
 * the bytes received tell whether the value was in them.
 */
async function h2load({ scratch, cluster, seconds, warmUp, column }, args, versionNow) {
  const log = path.join(cluster.directory, `h2load-${column}.log`);
  const before = await versionNow();
  // It takes whole seconds only.
  const times = ['-D', Math.ceil(seconds), '--warm-up-time', Math.ceil(warmUp)].map(String);
  const common = ['-c', String(CONNECTIONS), '-t', '1', ...times, '--log-file', log];
  const said = await scratch.run('h2load', [...common, ...args], { limitMs: limitMs({ seconds, warmUp }) });
  const done = Number(/status codes: (\d+) 2xx/.exec(said)?.[1]);
  const failed = Number(/(\d+) failed/.exec(said)?.[1]);
  const dataBytes = Number(/\((\d+)\) data/.exec(said)?.[1]);
  const written = (await versionNow()) - before;
  if (column === 'put' && written < done)
    throw new Error(`h2load: ${done} puts, of which ${written} were done`);
  if (column === 'get' && dataBytes < done * VALUE_BYTES) {
    throw new Error(`h2load: ${done} gets brought ${dataBytes} bytes`);
  }
  const latenciesUs = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]));
  latenciesUs.sort((a, b) => a - b);
  const p99Ms = latenciesUs[Math.floor(latenciesUs.length * 0.99)] / 1000;
  return { value: done / Math.ceil(seconds), p99Ms, errors: failed > 0 ? { failed } : {} };
}

async function wrkOnKvd({ scratch, cluster, leader, value, seconds, warmUp, column }) {
  const url = `http://${leader.address}/v1/kv/${KEY}`;
  await ask(url, { method: 'PUT', body: readFileSync(value) });
  const script = path.join(cluster.directory, 'put.lua');
  writeFileSync(
    script,
    `wrk.method = "PUT"\nlocal f = io.open("${value}", "rb")\nwrk.body = f:read("*a")\nf:close()\n`,
  );
  const args = (time) => {
    const common = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${Math.ceil(time)}s`, '--latency'];
    return [...common, ...(column === 'put' ? ['-s', script] : []), url];
  };
  if (warmUp > 0) await scratch.run('wrk', args(warmUp), { limitMs: limitMs({ seconds, warmUp }) });
  const said = await scratch.run('wrk', args(seconds), { limitMs: limitMs({ seconds, warmUp }) });
  const failed = Number(/Non-2xx or 3xx responses: (\d+)/.exec(said)?.[1] ?? 0);
  const [, p99, unit] = /99%\s+([\d.]+)(us|ms|s)\b/.exec(said) ?? [];
  const p99Ms = Number(p99) * { us: 0.001, ms: 1, s: 1000 }[unit];
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1]);
  return { value: rate, p99Ms, errors: failed > 0 ? { failed } : {} };
}

/** It counts requests, not seconds: as many as a first, short run says that it does in the time. */
async function redisBenchmark({ scratch, leader, seconds, warmUp, column }) {
  const measureCount = async (count) => {
    const command = column === 'put' ? 'set' : 'get';
    const args = [
      '-p',
      leader.ports[0],
      '-c',
      CONNECTIONS,
      '-d',
      VALUE_BYTES,
      '-n',
      count,
      '-t',
      command,
      '--csv',
    ];
    const said = await scratch.run('redis-benchmark', args.map(String), {
      limitMs: limitMs({ seconds, warmUp }),
    });
    const [rate, , , , , p99Ms] = said
      .trim()
      .split('\n')
      .at(-1)
      .replaceAll('"', '')
      .split(',')
      .slice(1)
      .map(Number);
    return { value: rate, p99Ms, errors: {} };
  };
  const { value } = await measureCount(20_000);
  return measureCount(Math.ceil(value * seconds));
}

function limitMs({ seconds, warmUp }) {
  return (seconds + warmUp + 60) * 1000;
}
