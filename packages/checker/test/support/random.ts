/** Seeded histories of a store that really is linearizable, ways to spoil them, and a judge that tries every order. */
import type { History, Operation, Value } from '@kvd/checker';

/** Mulberry32. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  chance(share: number): boolean {
    return this.next() < share;
  }
}

/** Transactions and additions: transactions.ts. */
export type Kind = Exclude<Operation['op'], 'txn' | 'add'>;

export interface Shape {
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  /** Different values; 0: each write writes another one. */
  readonly values: number;
  readonly unknownShare: number;
  /** How long an operation takes, in units of the pause between two of a client. */
  readonly overlap: number;
  readonly kinds: readonly Kind[];
}

type Mutable = { -readonly [K in keyof Operation]: Operation[K] } & { op: Kind } & Record<string, unknown>;

/** What clients of a store that does each operation at one moment between its start and its end are told. */
export function linearizableHistory(random: Random, shape: Shape): History {
  const planned: { at: number; operation: Mutable }[] = [];
  const clocks = Array.from({ length: shape.clients }, () => 0);
  for (let i = 0; i < shape.operations; i++) {
    const client = i % shape.clients;
    const start = (clocks[client] ?? 0) + random.next();
    const end = start + random.next() * shape.overlap;
    clocks[client] = end;
    const isUnknown = random.chance(shape.unknownShare);
    const never = isUnknown && random.chance(0.3);
    const latest = isUnknown ? end + random.next() * 20 * shape.overlap : end;
    const at = never ? Number.POSITIVE_INFINITY : start + random.next() * (latest - start);
    const outcome = isUnknown ? 'unknown' : 'ok';
    const operation = { client: String(client), ...call(random, shape, i), start, end, outcome };
    planned.push({ at, operation: operation as unknown as Mutable });
  }
  planned.sort((a, b) => a.at - b.at);
  const store = new Map<string, string>();
  for (const { at, operation } of planned) {
    if (at === Number.POSITIVE_INFINITY) break;
    const answer = apply(store, operation);
    if (operation.outcome === 'ok') Object.assign(operation, answer);
  }
  return { operations: planned.map(({ operation }) => operation as unknown as Operation) };
}

function call(random: Random, shape: Shape, index: number): object {
  const key = `k${random.below(shape.keys)}`;
  const value = () => (shape.values === 0 ? `v${index}` : `v${random.below(shape.values)}`);
  const known = () => (shape.values === 0 ? `v${random.below(index + 1)}` : value());
  const op = random.pick(shape.kinds);
  switch (op) {
    case 'get':
    case 'delete':
      return { op, key };
    case 'put':
    case 'append':
      return { op, key, value: value() };
    case 'cas':
      return {
        op,
        key,
        expected: random.chance(0.2) ? null : known(),
        value: random.chance(0.2) ? null : value(),
      };
    case 'scan':
    case 'delete-prefix':
      return { op, prefix: 'k' };
  }
}

function apply(store: Map<string, string>, operation: Mutable): object {
  const { op } = operation;
  const key = 'key' in operation ? (operation.key as string) : '';
  const before = store.get(key) ?? null;
  const set = (value: Value) => (value === null ? store.delete(key) : store.set(key, value));
  switch (op) {
    case 'get':
      return { value: before };
    case 'put':
      set(operation['value'] as string);
      return {};
    case 'append':
      set((before ?? '') + String(operation['value']));
      return {};
    case 'delete':
      set(null);
      return { deleted: before === null ? 0 : 1 };
    case 'cas': {
      const swapped = before === operation['expected'];
      if (swapped) set(operation['value'] as Value);
      return { swapped };
    }
    case 'scan':
      return {
        entries: [...store]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, value]) => ({ key: name, value })),
      };
    case 'delete-prefix': {
      const deleted = store.size;
      store.clear();
      return { deleted };
    }
  }
}

/** The history with a few answers, outcomes or times changed: linearizable or not, who knows. */
export function spoil(random: Random, history: History, changes: number): History {
  const operations = history.operations.map((operation) => ({ ...operation })) as unknown as Mutable[];
  for (let i = 0; i < changes; i++) {
    const operation = random.pick(operations);
    const other = random.pick(operations);
    if (random.chance(0.3)) {
      const length = (operation.end ?? operation.start) - operation.start;
      operation.start = random.next() * (other.end ?? 1);
      operation.end = operation.start + length * random.next();
    } else if (operation.outcome === 'ok' && operation.op === 'get') {
      operation['value'] = 'value' in other ? other['value'] : null;
    } else if (operation.outcome === 'ok' && operation.op === 'cas') {
      operation['swapped'] = !operation['swapped'];
    } else if (operation.outcome === 'ok' && operation.op === 'delete') {
      operation['deleted'] = operation['deleted'] === 0 ? 1 : 0;
    } else if (operation.op === 'put' || operation.op === 'append') {
      operation.outcome = random.pick(['ok', 'unknown', 'fail']);
    }
  }
  return { ...history, operations: operations as unknown as Operation[] };
}

/** Tries every order of the operations of one key, and every choice of unknown ones. For a dozen operations at most. */
export function bruteForce(history: History): boolean {
  const operations = history.operations.filter(({ outcome }) => outcome !== 'fail');
  const tried = new Set<string>();
  const canGoOn = (left: number, value: Value): boolean => {
    const name = `${left} ${JSON.stringify(value)}`;
    if (tried.has(name)) return false;
    tried.add(name);
    const remaining = operations.filter((_, i) => (left & (1 << i)) !== 0);
    const mustCome = remaining.filter(({ outcome }) => outcome === 'ok');
    if (mustCome.length === 0) return true;
    const firstEnd = Math.min(...mustCome.map(({ end }) => end ?? 0));
    return operations.some((operation, i) => {
      if ((left & (1 << i)) === 0 || operation.start > firstEnd) return false;
      const store = new Map(value === null ? [] : [['k0', value]]);
      const answer = apply(store, { ...operation } as unknown as Mutable);
      if (operation.outcome === 'ok' && !agrees(operation, answer)) return false;
      return canGoOn(left & ~(1 << i), store.get('k0') ?? null);
    });
  };
  return canGoOn(2 ** operations.length - 1, history.initial ?? null);
}

function agrees(operation: Operation, answer: object): boolean {
  const told = operation as unknown as Record<string, unknown>;
  return Object.entries(answer).every(([name, value]) => {
    return told[name] === undefined || JSON.stringify(told[name]) === JSON.stringify(value);
  });
}
