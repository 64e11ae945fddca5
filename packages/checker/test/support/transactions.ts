/**
 * Histories of a store with transactions: made by one that does each at one moment, spoiled at random, and judged by trying
 * every order on a store of its own. Shares nothing with the checker but the types.
 */
import type { Action, ActionResult, Compare, History, Operation, TxnOperation } from '@kvd/checker';
import type { Random } from './random.js';

export interface TxnShape {
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  /** Different values; all of them integers, so that everything can be added to. */
  readonly values: number;
  readonly unknownShare: number;
  /** How long an operation takes, in units of the pause between two of a client. */
  readonly overlap: number;
  /** Of all operations. */
  readonly txnShare: number;
  /** Of the results of adds and deletes. */
  readonly toldShare: number;
  /** Do compares look at versions, of which the checker knows nothing? */
  readonly versions: boolean;
}

type Store = Map<string, { value: string; version: number }>;
/** What was asked. */
type Asked = Pick<TxnOperation, 'op' | 'compares' | 'success' | 'failure'> | Action;

interface Planned {
  readonly at: number;
  readonly asked: Asked;
  readonly common: { client: string; start: number; end: number; outcome: 'ok' | 'unknown' };
}

/** What clients of a store that does each operation at one moment between its start and its end are told. */
export function transactionalHistory(random: Random, shape: TxnShape): History {
  const planned: Planned[] = [];
  const clocks = Array.from({ length: shape.clients }, () => 0);
  for (let i = 0; i < shape.operations; i++) {
    const client = i % shape.clients;
    const start = (clocks[client] ?? 0) + random.next();
    const end = start + random.next() * shape.overlap;
    clocks[client] = end;
    const isUnknown = random.chance(shape.unknownShare);
    const latest = isUnknown ? end + random.next() * 20 * shape.overlap : end;
    const isNever = isUnknown && random.chance(0.3);
    const at = isNever ? Number.POSITIVE_INFINITY : start + random.next() * (latest - start);
    const common = { client: String(client), start, end, outcome: isUnknown ? 'unknown' : 'ok' } as const;
    planned.push({ at, asked: i === 0 ? connect(shape) : ask(random, shape), common });
  }
  planned.sort((a, b) => a.at - b.at);
  const store: Store = new Map();
  const operations = planned.map(({ at, asked, common }) => {
    const answer = at === Number.POSITIVE_INFINITY ? {} : run(store, asked);
    const told = common.outcome === 'ok' ? forgetting(random, shape.toldShare, answer) : {};
    return { ...common, ...asked, ...told } as Operation;
  });
  return { operations };
}

/** All keys are in one group, so that what scans and deletions of a prefix do is one moment. */
function connect({ keys }: TxnShape): Asked {
  const success = Array.from({ length: keys }, (_, i): Action => ({ op: 'get', key: `k${i}` }));
  return { op: 'txn', compares: [], success, failure: [] };
}

function ask(random: Random, shape: TxnShape): Asked {
  if (!random.chance(shape.txnShare)) return act(random, shape);
  const branch = () => Array.from({ length: random.below(4) }, () => act(random, shape));
  const compares = Array.from({ length: random.below(3) }, () => compare(random, shape));
  return { op: 'txn', compares, success: branch(), failure: random.chance(0.5) ? [] : branch() };
}

function act(random: Random, shape: TxnShape): Action {
  const key = `k${random.below(shape.keys)}`;
  const kind = random.next();
  if (kind < 0.35) return { op: 'get', key };
  if (kind < 0.65) return { op: 'put', key, value: String(random.below(shape.values)) };
  if (kind < 0.8) return { op: 'add', key, delta: String(1 + random.below(2)) };
  if (kind < 0.9) return { op: 'delete', key };
  return kind < 0.97 ? { op: 'scan', prefix: 'k' } : { op: 'delete-prefix', prefix: 'k' };
}

function compare(random: Random, shape: TxnShape): Compare {
  const key = `k${random.below(shape.keys)}`;
  const comparison = random.pick(['=', '!=', '<', '>'] as const);
  const kind = random.next();
  if (kind < 0.2) return { key, target: 'exists', exists: random.chance(0.5) };
  if (kind < 0.7 || !shape.versions)
    return { key, target: 'value', comparison, value: String(random.below(shape.values)) };
  return { key, target: 'version', comparison, number: random.below(3) };
}

/** The answer with some of what need not be told left out. */
function forgetting(random: Random, toldShare: number, answer: object): object {
  const copy = { ...answer } as { value?: unknown; deleted?: unknown; results?: ActionResult[] };
  if (!random.chance(toldShare)) delete copy.deleted;
  if (copy.results === undefined) return copy;
  return { ...copy, results: copy.results.map((result) => (random.chance(toldShare) ? result : {})) };
}

/** Do it, and say what there is to say. */
function run(store: Store, asked: Asked): object {
  if (asked.op !== 'txn') return runAction(store, asked);
  const succeeded = asked.compares.every((each) => isTrue(store, each));
  const results = (succeeded ? asked.success : asked.failure).map((action) => runAction(store, action));
  return { succeeded, results };
}

function isTrue(store: Store, told: Compare): boolean {
  const entry = store.get(told.key);
  if (told.target === 'exists') return (entry !== undefined) === told.exists;
  if (told.target === 'value' && entry === undefined) return told.comparison === '!=';
  const [left, right] =
    told.target === 'value' ? [entry?.value ?? '', told.value] : [entry?.version ?? 0, told.number];
  switch (told.comparison) {
    case '=':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return left < right;
    case '>':
      return left > right;
  }
}

function runAction(store: Store, action: Action): ActionResult {
  const set = (key: string, value: string) => {
    store.set(key, { value, version: (store.get(key)?.version ?? 0) + 1 });
  };
  switch (action.op) {
    case 'get':
      return { value: store.get(action.key)?.value ?? null };
    case 'put':
      set(action.key, action.value);
      return {};
    case 'add': {
      const sum = String(Number(store.get(action.key)?.value ?? 0) + Number(action.delta));
      set(action.key, sum);
      return { value: sum };
    }
    case 'delete':
      return { deleted: store.delete(action.key) ? 1 : 0 };
    case 'scan': {
      const entries = [...store].map(([key, { value }]) => ({ key, value }));
      return { entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)) };
    }
    case 'delete-prefix': {
      const deleted = store.size;
      store.clear();
      return { deleted };
    }
  }
}

type Mutable = { -readonly [K in keyof Operation]: Operation[K] } & Record<string, unknown>;

/** The history with a few answers, outcomes or times changed: linearizable or not, who knows. */
export function spoilTransactions(random: Random, history: History, changes: number): History {
  const operations = structuredClone(history.operations) as unknown as Mutable[];
  for (let i = 0; i < changes; i++) {
    const operation = random.pick(operations);
    const [isMoved, isTurned] = [random.chance(0.3), random.chance(0.3)];
    if (isMoved) {
      const length = (operation.end ?? 0) - operation.start;
      operation.start = random.next() * (random.pick(operations).end ?? 1);
      operation.end = operation.start + length * random.next();
    } else if (operation.outcome !== 'ok') {
      operation.outcome = 'fail';
    } else if (operation.op === 'txn' && isTurned && namesKeys(operation)) {
      const isSuccess = operation['succeeded'] !== true;
      operation['succeeded'] = isSuccess;
      const branch = operation[isSuccess ? 'success' : 'failure'] as Action[];
      operation['results'] = branch.map(() => ({}));
    } else {
      const told = operation.op === 'txn' ? ((operation['results'] ?? []) as ActionResult[]) : [operation];
      spoilAnswer(random, random.pick([...told, {}]) as Mutable);
    }
  }
  return { ...history, operations: operations as unknown as Operation[] };
}

/** One that names no key is no concern of any part, whatever it was told. */
function namesKeys(txn: Mutable): boolean {
  return ['compares', 'success', 'failure'].some((part) => (txn[part] as unknown[]).length > 0);
}

function spoilAnswer(random: Random, answer: Mutable): void {
  const value = () => String(random.below(4));
  const isRead = answer.op === undefined || answer.op === 'get' || answer.op === 'add';
  if (answer['value'] !== undefined && isRead) answer['value'] = random.chance(0.2) ? null : value();
  if (answer['deleted'] !== undefined) answer['deleted'] = random.below(2);
  for (const entry of (answer['entries'] ?? []) as { value: string }[]) {
    if (random.chance(0.5)) entry.value = value();
  }
}

/** Tries every order, and every choice of unknown ones. For a dozen operations at most; all keys begin absent. */
export function bruteForceTransactions(history: History): boolean {
  const operations = history.operations.filter(({ outcome }) => outcome !== 'fail');
  const tried = new Set<string>();
  const canGoOn = (left: number, store: Store): boolean => {
    const name = `${left} ${JSON.stringify([...store].sort(([a], [b]) => (a < b ? -1 : 1)))}`;
    if (tried.has(name)) return false;
    tried.add(name);
    const mustCome = operations.filter((each, i) => (left & (1 << i)) !== 0 && each.outcome === 'ok');
    if (mustCome.length === 0) return true;
    const firstEnd = Math.min(...mustCome.map(({ end }) => end ?? 0));
    return operations.some((operation, i) => {
      if ((left & (1 << i)) === 0 || operation.start > firstEnd) return false;
      const after: Store = new Map(store);
      const answer = run(after, operation as unknown as Asked);
      // Also of what had not ended at the time of a piece, but was answered later.
      if (!agrees(operation, answer)) return false;
      return canGoOn(left & ~(1 << i), after);
    });
  };
  return canGoOn(2 ** operations.length - 1, new Map());
}

function agrees(told: object, answer: object): boolean {
  const fields = told as Record<string, unknown>;
  return Object.entries(answer).every(([name, value]) => {
    if (fields[name] === undefined || ('op' in told && told.op === 'put')) return true;
    if (name !== 'results') return JSON.stringify(fields[name]) === JSON.stringify(value);
    const results = fields[name] as object[];
    return (value as object[]).every((each, i) => agrees(results[i] ?? {}, each));
  });
}
