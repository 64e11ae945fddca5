/** Transactions as the reference does them: literally as commands.ts describes them, on plain maps. */
import type { Compare, ErrorCode, TxnCommand, TxnOperation, TxnOperationResult } from '@kvd/protocol';
import { type PlainEntry, type PlainEvent, type PlainRange, type Versions } from './versions.js';

export interface PlainTxn {
  readonly succeeded: boolean;
  readonly events: readonly PlainEvent[];
  readonly results: readonly TxnOperationResult[];
}

export function plainTxn(
  versions: Versions,
  { compares, success, failure }: TxnCommand,
  isLease: (lease: number) => boolean,
): PlainTxn | ErrorCode {
  const succeeded = compares.every((compare) => isTrue(versions.get(text(compare.key)), compare));
  const changed = new Map<string, PlainEntry | null>();
  const results: TxnOperationResult[] = [];
  for (const operation of succeeded ? success : failure) {
    const result = run(versions, changed, operation, isLease);
    if (typeof result === 'string') return result;
    results.push(result);
  }
  const events = [...changed].map(([key, after]) => ({ key, before: versions.get(key), after }));
  return { succeeded, events, results };
}

/** The entry that a put of the next revision makes. */
export function putEntry(versions: Versions, key: string, value: string, lease = 0): PlainEntry {
  const before = versions.get(key);
  const modRevision = versions.revision + 1;
  const { createRevision = modRevision, version = 0 } = before ?? {};
  return { key, value, createRevision, modRevision, version: version + 1, lease };
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

export function rangeOf({ from, to }: { readonly from: Uint8Array; readonly to: Uint8Array }): PlainRange {
  return { from: text(from), to: text(to) };
}

function run(
  versions: Versions,
  changed: Map<string, PlainEntry | null>,
  operation: TxnOperation,
  isLease: (lease: number) => boolean,
): TxnOperationResult | ErrorCode {
  switch (operation.type) {
    case 'get': {
      const key = text(operation.key);
      const entry = changed.has(key) ? (changed.get(key) ?? null) : versions.get(key);
      return { type: 'entry', entry: entry && bytesOf(entry) };
    }
    case 'put': {
      if (operation.lease !== 0 && !isLease(operation.lease)) return 'KVD_LEASE_NOT_FOUND';
      const key = text(operation.key);
      changed.set(key, putEntry(versions, key, text(operation.value), operation.lease));
      return { type: 'put' };
    }
    case 'add': {
      const key = text(operation.key);
      const before = versions.get(key);
      const present = before === null ? 0n : integer(before.value);
      const sum = present === null ? null : integer(String(present + operation.delta));
      if (sum === null) return 'KVD_NOT_AN_INTEGER';
      changed.set(key, putEntry(versions, key, String(sum), before?.lease ?? 0));
      return { type: 'added', value: sum };
    }
    case 'delete': {
      const key = text(operation.key);
      const there = versions.get(key) !== null;
      if (there) changed.set(key, null);
      return { type: 'deleted', deleted: there ? 1 : 0 };
    }
    case 'delete-range': {
      const keys = versions.keysIn(rangeOf(operation));
      for (const key of keys) changed.set(key, null);
      return { type: 'deleted', deleted: keys.length };
    }
  }
}

export function bytesOf(entry: PlainEntry) {
  return {
    ...entry,
    key: Buffer.from(entry.key, 'latin1'),
    value: Buffer.from(entry.value, 'latin1'),
  };
}

/** A decimal number of 64 bits, signed, as `add` writes it. */
function integer(value: string): bigint | null {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(value)) return null;
  const number = BigInt(value);
  return BigInt.asIntN(64, number) === number ? number : null;
}

function isTrue(entry: PlainEntry | null, compare: Compare): boolean {
  if (compare.target === 'exists') return (entry !== null) === compare.exists;
  if (compare.target === 'value') {
    if (entry === null) return compare.comparison === '!=';
    const wanted = text(compare.value);
    return ordered(entry.value < wanted ? -1 : entry.value > wanted ? 1 : 0, compare.comparison);
  }
  const numbers = {
    version: entry?.version,
    'create-revision': entry?.createRevision,
    'mod-revision': entry?.modRevision,
    lease: entry?.lease,
  };
  return ordered((numbers[compare.target] ?? 0) - compare.number, compare.comparison);
}

function ordered(order: number, comparison: '=' | '!=' | '<' | '>'): boolean {
  if (comparison === '=') return order === 0;
  if (comparison === '!=') return order !== 0;
  return comparison === '<' ? order < 0 : order > 0;
}
