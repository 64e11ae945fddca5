// The load, in a process of its own, so that every system meets a client that has seen no other system:
//   fork('load-process.mjs', [SYSTEM, ENDPOINT…]), then messages { id, name, options }, each answered once.
//
// A client (clients/) has put(key, value), and, where the system has such reads, get(key), linearizable, and stale(key),
// from whichever replica it asks. `prepare` is what puts a key there the first time, where that is not a put.
import { randomBytes } from 'node:crypto';
import { createHistogram } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { within } from './waiting.mjs';

const PREPARE_IN_FLIGHT = 1_024;
const OUTAGE_EVERY_MS = 10;
const OUTAGE_LIMIT_MS = 60_000;
const ACKNOWLEDGED_BEFORE = 20;
const LAST_ANSWERS_LIMIT_MS = 30_000;

const [system, ...endpoints] = process.argv.slice(2);
const { connect } = await import(`./clients/${system}.mjs`);
const client = await within(30_000, `${system} to connect`, connect(endpoints));
// Values that do not compress, cut from here at another place each time.
const noise = randomBytes(1 << 20);

process.on('message', ({ id, name, options }) => {
  commands[name](options).then(
    (result) => process.send({ id, result }),
    (error) => process.send({ id, error: String(error?.message ?? error) }),
  );
});
process.on('disconnect', () => process.exit());
// What a client throws from its own events must not end the measurement: the operation it belongs to fails or is late.
process.on('unhandledRejection', (error) => console.error(`${system} client: ${error?.message ?? error}`));
process.send({ id: 0, result: { get: client.get !== undefined, stale: client.stale !== undefined } });

const commands = {
  /** Every key from `from` to `to`, once. */
  async prepare({ from = 0, to, valueBytes }) {
    const { prepare = client.put, manyMax = 1, putMany } = client;
    let next = from;
    const lane = async () => {
      while (next < to) {
        const first = next;
        next = Math.min(to, next + manyMax);
        if (putMany === undefined) await prepare(keyOf(first), valueOf(first, valueBytes));
        else await putMany(keysOf(first, next), valueOf(first, valueBytes));
      }
    };
    const beganMs = performance.now();
    await Promise.all(Array.from({ length: Math.ceil(PREPARE_IN_FLIGHT / manyMax) }, lane));
    return { seconds: (performance.now() - beganMs) / 1000 };
  },

  /** A closed loop of `inFlight` operations for `seconds`; all that ended well in that time count. */
  async measure({ kind, inFlight, seconds, keys, valueBytes }) {
    const checked = (value) => {
      if (value?.length !== valueBytes) throw new Error(`a value of ${value?.length} bytes`);
    };
    const operations = {
      put: (i) => client.put(keyOf(i % keys), valueOf(i, valueBytes)),
      get: (i) => client.get(keyOf(i % keys)).then(checked),
      stale: (i) => client.stale(keyOf(i % keys)).then(checked),
    };
    const operation = operations[kind];
    // Over the whole key space, however short the measurement; every key equally often.
    const step = strideOf(keys);
    const latencies = createHistogram();
    const errors = {};
    let begun = Math.floor(Math.random() * keys);
    let ended = 0;
    const cpu = process.cpuUsage();
    const endMs = performance.now() + seconds * 1000;
    const lane = async () => {
      for (;;) {
        const beganMs = performance.now();
        if (beganMs >= endMs) return;
        try {
          begun += step;
          await operation(begun);
          const nowMs = performance.now();
          latencies.record(Math.max(1, Math.round((nowMs - beganMs) * 1000)));
          if (nowMs < endMs) ended += 1;
        } catch (error) {
          const name = String(error?.message ?? error).slice(0, 100);
          errors[name] = (errors[name] ?? 0) + 1;
          await nextTurn();
        }
      }
    };
    const lanes = Promise.all(Array.from({ length: inFlight }, lane));
    await within(seconds * 1000 + LAST_ANSWERS_LIMIT_MS, `${system} ${kind}`, lanes);
    const { user, system: kernel } = process.cpuUsage(cpu);
    return {
      rate: ended / seconds,
      count: ended,
      p50Ms: latencies.percentile(50) / 1000,
      p99Ms: latencies.percentile(99) / 1000,
      maxMs: latencies.max / 1000,
      clientCores: (user + kernel) / 1e6 / seconds,
      errors,
    };
  },

  /**
   * Kill a process while a put begins every 10 ms, whatever became of those before: ms until the first acknowledgement of
   * one that began after the kill. So neither an answer that was on its way nor a client that waits for a lost one decides.
   */
  async outage({ pid, keys, valueBytes }) {
    const acknowledged = [];
    let done = false;
    const limitMs = performance.now() + OUTAGE_LIMIT_MS;
    const put = async (i) => {
      const beganMs = performance.now();
      await client.put(keyOf(i % keys), valueOf(i, valueBytes));
      acknowledged.push({ beganMs, endedMs: performance.now() });
    };
    const begin = async () => {
      for (let i = 0; !done && performance.now() < limitMs; i++) {
        // One that fails is one that was not acknowledged.
        put(i).catch(() => {});
        await sleep(OUTAGE_EVERY_MS);
      }
    };
    const beginning = begin();
    const until = async (condition) => {
      while (performance.now() < limitMs) {
        const found = condition();
        if (found) return found;
        await sleep(1);
      }
      throw new Error(`${system}: no write acknowledged within ${OUTAGE_LIMIT_MS / 1000} s`);
    };
    try {
      await until(() => acknowledged.length >= ACKNOWLEDGED_BEFORE);
      const killedMs = performance.now();
      process.kill(pid, 'SIGKILL');
      const first = await until(() => acknowledged.find(({ beganMs }) => beganMs >= killedMs));
      return { ms: first.endedMs - killedMs };
    } finally {
      done = true;
      await beginning;
    }
  },

  async close() {
    await within(5_000, `${system} to close`, Promise.resolve(client.close()));
  },
};

function keyOf(i) {
  return `key${String(i).padStart(9, '0')}`;
}

function keysOf(from, to) {
  return Array.from({ length: to - from }, (_, i) => keyOf(from + i));
}

function valueOf(i, bytes) {
  const from = ((i % noise.length) * 4_099) % (noise.length - bytes);
  return noise.subarray(from, from + bytes);
}

/** A step that shares no factor with `keys` and goes far: a short measurement is spread over all keys. */
function strideOf(keys) {
  const gcd = (a, b) => (b === 0 ? a : gcd(b, a % b));
  let step = Math.max(1, Math.floor(keys * 0.618));
  while (gcd(step, keys) !== 1) step += 1;
  return step;
}
