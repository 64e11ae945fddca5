/** What clients do with the data model: drawn apart from the rest, in an amount of its own. */
import type { Shape } from './generate.js';
import type { Fault, Operation, OperationKind } from './plan.js';
import type { Random } from './random.js';

const KINDS: readonly OperationKind[] = [
  ...Array<OperationKind>(5).fill('txn'),
  ...Array<OperationKind>(5).fill('transfer'),
  ...Array<OperationKind>(3).fill('add'),
  ...Array<OperationKind>(3).fill('fenced-add'),
  ...Array<OperationKind>(3).fill('hold'),
  ...Array<OperationKind>(2).fill('get-past'),
  ...Array<OperationKind>(2).fill('scan-past'),
  ...Array<OperationKind>(2).fill('bank-past'),
  ...Array<OperationKind>(2).fill('history'),
  'compact',
  'set-retention',
  'leases',
  'watch',
];
const PER_AMOUNT = 8;
const TTL_MS_MIN = 150;

/** `amount` 0: nothing at all. */
export function drawDataOperations(
  random: Random,
  {
    keys,
    clients,
    electionTimeoutMs,
    calmMs,
  }: Pick<Shape, 'keys' | 'clients' | 'electionTimeoutMs' | 'calmMs'>,
  faults: readonly Fault[],
  amount: number,
): Operation[] {
  const any = (kind: OperationKind): Operation => {
    const key = random.integer(0, keys - 1);
    const busy = faults.length > 0 && random.chance(0.6);
    const atMs = busy
      ? random.pick(faults).atMs + random.between(-1, 3) * electionTimeoutMs
      : random.between(0, calmMs);
    return {
      // Who holds a lock is still there for a while, and all leases are to end.
      atMs: Math.min(Math.max(0, atMs), calmMs * (kind === 'hold' ? 0.8 : 1)),
      client: random.integer(0, clients.length - 1),
      kind,
      key: kind === 'hold' || kind === 'txn' || kind === 'add' ? random.integer(0, 3) : key,
      span: 1,
      valueBytes: 0,
      dice: random.uint32(),
      ttlMs: Math.max(TTL_MS_MIN, Math.round(electionTimeoutMs * random.pick([0.7, 1.5, 3, 6]))),
    };
  };
  const first = amount === 0 ? [] : [{ ...any('watch'), atMs: random.between(0, calmMs / 4) }];
  return [...first, ...Array.from({ length: amount * PER_AMOUNT }, () => any(random.pick(KINDS)))];
}
