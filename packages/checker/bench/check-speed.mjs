// How long checking a history takes: node packages/checker/bench/check-speed.mjs (after npm run build)
//
// 100,000 operations on 100 keys by 10 clients of a store that is linearizable, then the same with faults: many unknown
// outcomes, clients whose operations overlap on one key at a time, and one stale read that must be found and shown.
import { checkHistory } from '@kvd/checker';

const OPERATIONS = 100_000;
const CLIENTS = 10;
const KEYS = 100;

const workloads = {
  'as asked: 5 % unknown': { unknown: 0.05, spread: 'random', values: 0, length: 1 },
  '40 % unknown': { unknown: 0.4, spread: 'random', values: 0, length: 1 },
  '40 % unknown, 5 values': { unknown: 0.4, spread: 'random', values: 5, length: 1 },
  'all clients on one key at a time': { unknown: 0, spread: 'together', values: 0, length: 10 },
  '… with 10 % unknown': { unknown: 0.1, spread: 'together', values: 0, length: 10 },
  '… and 5 values': { unknown: 0.1, spread: 'together', values: 5, length: 10 },
  '… and 40 % unknown': { unknown: 0.4, spread: 'together', values: 5, length: 10 },
  'a stale read': { unknown: 0.05, spread: 'random', values: 0, length: 1, stale: true },
  'together, 40 % unknown, a stale read': {
    unknown: 0.4,
    spread: 'together',
    values: 0,
    length: 10,
    stale: true,
  },
  'together, 40 % unknown, 5 values, a stale read': {
    unknown: 0.4,
    spread: 'together',
    values: 5,
    length: 10,
    stale: true,
  },
};

const now = () => performance.now();
for (const [name, workload] of Object.entries(workloads)) {
  const history = makeHistory(workload);
  const begun = now();
  const { linearizability } = checkHistory(history, { timeLimitMs: 60_000, now });
  const ms = now() - begun;
  const shown = linearizability.violations.map((violation) => `${violation.operations.length} shown`);
  const undecided = linearizability.undecidedKeys.length;
  console.log(
    `${(ms / 1000).toFixed(2).padStart(6)} s  ${linearizability.verdict} ${shown.join(' ')}${undecided > 0 ? `${undecided} keys` : ''}  ` +
      `${String(linearizability.steps).padStart(8)} steps  ${name}`,
  );
}

function makeHistory({ unknown, spread, values, length, stale = false }) {
  const random = generator(1);
  const clocks = Array.from({ length: CLIENTS }, () => 0);
  const planned = [];
  for (let i = 0; i < OPERATIONS; i++) {
    const client = i % CLIENTS;
    const start = clocks[client] + random() * 0.5;
    const end = start + random() * length;
    clocks[client] = end;
    const keyNumber = spread === 'random' ? Math.floor(random() * KEYS) : Math.floor(i / (OPERATIONS / KEYS));
    const key = `key-${keyNumber}`;
    const value = values === 0 ? `v${i}` : `v${Math.floor(random() * values)}`;
    const kind = random();
    const call =
      kind < 0.5
        ? { op: 'get', key }
        : kind < 0.85
          ? { op: 'put', key, value }
          : kind < 0.95
            ? { op: 'cas', key, expected: null, value }
            : { op: 'delete', key };
    const isUnknown = random() < unknown;
    const late = isUnknown ? random() * 50 * length : 0;
    const at = isUnknown && random() < 0.3 ? Infinity : start + random() * (end - start) + late;
    planned.push({
      at,
      operation: { client: `c${client}`, ...call, start, end, outcome: isUnknown ? 'unknown' : 'ok' },
    });
  }
  planned.sort((a, b) => a.at - b.at);
  const store = new Map();
  const last = new Map();
  for (const { at, operation } of planned) {
    if (at === Infinity) break;
    const before = store.get(operation.key) ?? null;
    if (operation.op === 'cas') {
      // Half of them expect what is there.
      operation.expected = random() < 0.5 ? before : (last.get(operation.key) ?? null);
    }
    const answer = apply(store, operation, before);
    last.set(operation.key, before);
    if (operation.outcome === 'ok') Object.assign(operation, answer);
  }
  if (stale) makeStale(planned, random);
  return { operations: planned.map(({ operation }) => operation) };
}

function apply(store, operation, before) {
  switch (operation.op) {
    case 'get':
      return { value: before };
    case 'put':
      store.set(operation.key, operation.value);
      return {};
    case 'delete':
      store.delete(operation.key);
      return { deleted: before === null ? 0 : 1 };
    default: {
      const swapped = before === operation.expected;
      if (swapped) store.set(operation.key, operation.value);
      return { swapped };
    }
  }
}

/** A read late in the history finds what its key held some ten reads before. */
function makeStale(planned, random) {
  const reads = planned.filter(({ operation }) => operation.op === 'get' && operation.outcome === 'ok');
  for (let i = Math.floor(reads.length * (0.7 + random() * 0.1)); i < reads.length; i++) {
    const { operation } = reads[i];
    const older = reads.slice(0, i).filter((read) => read.operation.key === operation.key);
    const source = older.at(-10)?.operation;
    if (source === undefined || source.value === operation.value) continue;
    operation.value = source.value;
    return;
  }
}

function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
