// How long checking transactions takes: node packages/checker/bench/check-transactions.mjs (after npm run build)
//
// A bank: 20 accounts in one group, eight clients that read all of them, and that transfer by comparing two balances and
// putting both, or by adding to both. Then a counter that eight clients add to. Last with a violation to be found and shown.
import { checkHistory } from '@kvd/checker';

const CLIENTS = 8;
const ACCOUNTS = 20;

const workloads = {
  'bank, 10,000 operations, compared transfers': { operations: 10_000, unknown: 0, adds: false },
  '… 5 % unknown': { operations: 10_000, unknown: 0.05, adds: false },
  '… and revisions': { operations: 10_000, unknown: 0.05, adds: false, revisions: true },
  '… of 100,000 operations': { operations: 100_000, unknown: 0.01, adds: false, revisions: true },
  'bank, 10,000 operations, added transfers': { operations: 10_000, unknown: 0, adds: true },
  '… 1 % unknown': { operations: 10_000, unknown: 0.01, adds: true },
  'added, 1 % unknown, revisions': { operations: 10_000, unknown: 0.01, adds: true, revisions: true },
  'bank, a read that misses half of a transfer': { operations: 10_000, unknown: 0, adds: false, torn: true },
  '… with 1 % unknown': { operations: 10_000, unknown: 0.01, adds: false, torn: true },
  'counter, 10,000 additions': { operations: 10_000, unknown: 0, counter: true },
  'counter, 1 % unknown': { operations: 10_000, unknown: 0.01, counter: true },
  '… 1 % unknown, no answers': { operations: 10_000, unknown: 0.01, counter: true, silent: true },
};

const now = () => performance.now();
for (const [name, workload] of Object.entries(workloads)) {
  const history = makeHistory(workload);
  const begun = now();
  const { linearizability } = checkHistory(history, { timeLimitMs: 60_000, now });
  const seconds = ((now() - begun) / 1000).toFixed(2).padStart(6);
  const shown = linearizability.violations.map(({ operations, keys }) => {
    return `${operations.length} operations on ${keys.length} keys shown`;
  });
  const steps = String(linearizability.steps).padStart(8);
  console.log(`${seconds} s  ${linearizability.verdict} ${shown.join(' ')} ${steps} steps  ${name}`);
}

function makeHistory(workload) {
  const random = generator(1);
  const clocks = Array.from({ length: CLIENTS }, () => 0);
  const planned = [];
  for (let i = 0; i < workload.operations; i++) {
    const client = i % CLIENTS;
    const start = clocks[client] + random() * 0.5;
    const end = start + random();
    clocks[client] = end;
    const isUnknown = random() < workload.unknown;
    const late = isUnknown ? random() * 5 : 0;
    const at = isUnknown && random() < 0.3 ? Infinity : start + random() * (end - start) + late;
    planned.push({ at, operation: { client, start, end, outcome: isUnknown ? 'unknown' : 'ok' } });
  }
  planned.sort((a, b) => a.at - b.at);
  const store = new Map();
  if (!workload.counter) {
    for (let account = 0; account < ACCOUNTS; account++) store.set(`account-${account}`, 100);
  }
  const opening = { op: 'txn', compares: [], success: [], failure: [], succeeded: true };
  for (const [key, value] of store) opening.success.push({ op: 'put', key, value: String(value) });
  const first = { client: 'bank', start: -2, end: -1, outcome: 'ok', ...opening };
  let revision = 1;
  for (const { at, operation } of planned) {
    const call = workload.counter ? count(random) : transfer(random, store, workload.adds);
    const answer = at === Infinity ? {} : run(store, call);
    const isSilent = workload.silent && call.op === 'add';
    Object.assign(operation, call, operation.outcome === 'ok' && !isSilent ? answer : {});
    const branch = call.op === 'txn' ? call[answer.succeeded ? 'success' : 'failure'] : [call];
    if (at === Infinity || branch.every(({ op }) => op === 'get')) continue;
    revision++;
    if (operation.outcome === 'ok' && workload.revisions) operation.revision = revision;
  }
  if (workload.torn) tear(planned, random);
  return { operations: [...(store.size > 1 ? [first] : []), ...planned.map(({ operation }) => operation)] };
}

function count(random) {
  return random() < 0.95 ? { op: 'add', key: 'counter', delta: '1' } : { op: 'get', key: 'counter' };
}

function transfer(random, store, adds) {
  const txn = { op: 'txn', compares: [], success: [], failure: [] };
  if (random() < 0.2) {
    for (const key of store.keys()) txn.success.push({ op: 'get', key });
    return txn;
  }
  const from = `account-${Math.floor(random() * ACCOUNTS)}`;
  const to = `account-${Math.floor(random() * ACCOUNTS)}`;
  if (from === to) return { ...txn, success: [{ op: 'get', key: from }] };
  const amount = 1 + Math.floor(random() * 5);
  const changes = [
    { key: from, by: -amount },
    { key: to, by: amount },
  ];
  for (const { key, by } of changes) {
    if (adds) txn.success.push({ op: 'add', key, delta: String(by) });
    else {
      // One in ten has read a balance that has changed since.
      const balance = store.get(key) + (random() < 0.1 ? 1 : 0);
      txn.compares.push({ key, target: 'value', comparison: '=', value: String(balance) });
      txn.success.push({ op: 'put', key, value: String(balance + by) });
    }
  }
  return txn;
}

function run(store, call) {
  if (call.op !== 'txn') return act(store, call);
  const succeeded = call.compares.every(({ key, value }) => String(store.get(key)) === value);
  return { succeeded, results: (succeeded ? call.success : call.failure).map((each) => act(store, each)) };
}

function act(store, { op, key, value, delta }) {
  const before = store.get(key);
  if (op === 'get') return { value: before === undefined ? null : String(before) };
  store.set(key, op === 'put' ? Number(value) : (before ?? 0) + Number(delta));
  return op === 'put' ? {} : { value: String(store.get(key)) };
}

/** A read of all accounts late in the history finds one of them before a transfer and the others after it. */
function tear(planned, random) {
  const reads = planned.filter(
    ({ operation }) => operation.outcome === 'ok' && operation.success.length === ACCOUNTS,
  );
  const { operation } = reads[Math.floor(reads.length * (0.7 + random() * 0.1))];
  const result = operation.results[3];
  result.value = String(Number(result.value) - 2);
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
