/**
 * Transactions: compares, then one of two branches, on the state as it is; all or nothing. Works out the changes and the
 * results, and changes nothing itself.
 */
import {
  type Compare,
  type Comparison,
  type CommandResult,
  LEASE_KEYS_MAX,
  type LeaseId,
  parseInt64,
  partBytesHint,
  type TxnCommand,
  type TxnOperation,
  type TxnOperationResult,
} from '@kvd/protocol';
import { errorResult } from './batches.js';
import { asBuffer, keyBytes, keyText } from './bytes.js';
import type { Victim } from './delete-ranges.js';
import { type KvRecord, entryOf, leaseOf, valueOf } from './kv-record.js';
import type { Change, KeySpace } from './key-space.js';

export interface TxnDone {
  readonly succeeded: boolean;
  readonly changes: readonly Change[];
  readonly results: readonly TxnOperationResult[];
}

type RangeDelete = Extract<TxnOperation, { type: 'delete-range' }>;
type Failure = Extract<CommandResult, { type: 'error' }>;

/** What lives in a range, or why that cannot be deleted. */
export type LiveIn = (operation: RangeDelete) => readonly Victim[] | Failure;

export function isFailure(done: TxnDone | readonly Victim[] | Failure): done is Failure {
  return 'type' in done;
}

/** `bytesMax`: of the results together. What would be more is not even read. */
export function runTxn(
  space: KeySpace,
  command: TxnCommand,
  liveIn: LiveIn,
  bytesMax: number,
): TxnDone | Failure {
  const succeeded = command.compares.every((compare) => holds(space, compare));
  const branch = new Branch(space, liveIn, bytesMax);
  for (const operation of succeeded ? command.success : command.failure) {
    const failure = branch.run(operation) ?? branch.refuseLarge();
    if (failure !== null) return failure;
  }
  return { succeeded, changes: [...branch.changes.values()], results: branch.results };
}

class Branch {
  readonly changes = new Map<string, Change>();
  readonly results: TxnOperationResult[] = [];
  private readonly attached = new Map<LeaseId, number>();
  private bytes = 0;

  constructor(
    private readonly space: KeySpace,
    private readonly liveIn: LiveIn,
    private readonly bytesMax: number,
  ) {}

  /** After each operation. */
  refuseLarge(): Failure | null {
    this.bytes += partBytesHint(this.results.at(-1) as TxnOperationResult);
    if (this.bytes <= this.bytesMax) return null;
    const message = `the gets of this transaction return more than the ${this.bytesMax} bytes that are allowed`;
    return errorResult('KVD_TOO_LARGE', message);
  }

  run(operation: TxnOperation): Failure | null {
    switch (operation.type) {
      case 'get': {
        const record = this.recordOf(keyText(operation.key));
        // Results may be kept, and must not keep the whole batch.
        const entry = record === null ? null : entryOf(keyBytes(keyText(operation.key)), record);
        this.results.push({ type: 'entry', entry });
        return null;
      }
      case 'put':
        this.results.push({ type: 'put' });
        return this.put(operation.key, operation.value, operation.lease);
      case 'add':
        return this.add(operation.key, operation.delta);
      case 'delete': {
        const key = keyText(operation.key);
        const before = this.space.before(key);
        if (before !== null) this.changes.set(key, { key, before, after: null });
        this.results.push({ type: 'deleted', deleted: before === null ? 0 : 1 });
        return null;
      }
      case 'delete-range': {
        const live = this.liveIn(operation);
        if (isFailure(live)) return live;
        for (const { key, record } of live) {
          this.changes.set(key, { key, before: record ?? this.space.before(key), after: null });
        }
        this.results.push({ type: 'deleted', deleted: live.length });
        return null;
      }
    }
  }

  private recordOf(key: string): KvRecord | null {
    const change = this.changes.get(key);
    return change === undefined ? this.space.lookup(key) : change.after;
  }

  private put(bytes: Uint8Array, value: Uint8Array, lease: LeaseId): Failure | null {
    const key = keyText(bytes);
    const refusal = lease === 0 ? null : this.attach(lease, key);
    if (refusal !== null) return refusal;
    const before = this.space.before(key);
    const after = this.space.recordOfPut(bytes, value, before, lease);
    this.changes.set(key, { key, before, after });
    return null;
  }

  private attach(lease: LeaseId, key: string): Failure | null {
    const state = this.space.leases.get(lease);
    if (state === undefined) return noLease(lease);
    if (state.keys.has(key)) return null;
    const attached = (this.attached.get(lease) ?? 0) + 1;
    this.attached.set(lease, attached);
    if (state.keys.size + attached <= LEASE_KEYS_MAX) return null;
    return errorResult('KVD_TOO_LARGE', `a lease has at most ${LEASE_KEYS_MAX} keys`);
  }

  private add(bytes: Uint8Array, delta: bigint): Failure | null {
    const key = keyText(bytes);
    const before = this.space.lookup(key);
    const present = before === null ? 0n : parseInt64(valueOf(before).toString('latin1'));
    if (present === null)
      return errorResult('KVD_NOT_AN_INTEGER', `the value is no decimal number of 64 bits`);
    const sum = parseInt64((present + delta).toString());
    if (sum === null) return errorResult('KVD_NOT_AN_INTEGER', `${present} + ${delta} has more than 64 bits`);
    const value = Buffer.from(sum.toString(), 'latin1');
    const lease = before === null ? 0 : leaseOf(before);
    const after = this.space.recordOfPut(bytes, value, before, lease);
    this.changes.set(key, { key, before, after });
    this.results.push({ type: 'added', value: sum });
    return null;
  }
}

export function noLease(lease: LeaseId): Failure {
  return errorResult('KVD_LEASE_NOT_FOUND', `lease ${lease} has expired, was revoked or never was`);
}

function holds(space: KeySpace, compare: Compare): boolean {
  const record = space.lookup(keyText(compare.key));
  switch (compare.target) {
    case 'exists':
      return (record !== null) === compare.exists;
    case 'value': {
      if (record === null) return compare.comparison === '!=';
      return compares(Buffer.compare(valueOf(record), asBuffer(compare.value)), compare.comparison);
    }
    default: {
      const entry = record === null ? null : entryOf(NO_KEY, record, true);
      return compares(
        (entry === null ? 0 : numberOf(entry, compare.target)) - compare.number,
        compare.comparison,
      );
    }
  }
}

const NO_KEY = keyBytes('');

function numberOf(
  entry: ReturnType<typeof entryOf>,
  target: Exclude<Compare['target'], 'exists' | 'value'>,
): number {
  switch (target) {
    case 'version':
      return entry.version;
    case 'create-revision':
      return entry.createRevision;
    case 'mod-revision':
      return entry.modRevision;
    case 'lease':
      return entry.lease;
  }
}

/** `order`: below 0, 0 or above, as what is stored is below, equal or above. */
function compares(order: number, comparison: Comparison): boolean {
  switch (comparison) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '>':
      return order > 0;
  }
}
