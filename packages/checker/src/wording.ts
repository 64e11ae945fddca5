/** Operations in words, for people. */
import type { Action, ActionResult, Compare, EntryRead, Operation, TxnOperation } from './operation.js';
import { shown } from './text.js';
import { branchesOf } from './transactions.js';

const ENTRIES_SHOWN = 4;
/** Compares, and actions of a branch, of one transaction. */
const PARTS_SHOWN = 4;
const KEYS_SHOWN = 6;

/** What was asked and answered, e.g. `get "a" -> "1"`. `key: false` leaves the key out where it is clear. */
export function wordOperation(operation: Operation, { key = true } = {}): string {
  return operation.op === 'txn' ? wordTxn(operation) : wordSingle(operation, key) + answer(operation);
}

/** What a violation is about: its keys, the first few of them. */
export function wordKeys(keys: readonly string[]): string {
  const name = keys.length === 1 ? 'Key' : 'Keys';
  return `${name} ${listed(keys, (key) => shown(key), 'keys', KEYS_SHOWN)}`;
}

/** For a sentence: the operation, who asked it and where it is in the file, or which of the history it is. */
export function nameOperation(operation: Operation, index: number): string {
  const where = operation.line === undefined ? `operation ${index}` : `line ${operation.line}`;
  return `${wordOperation(operation)} (client ${operation.client}, ${where})`;
}

/** A time without the noise behind the third decimal. */
export function wordTime(time: number | null): string {
  return time === null ? '…' : String(Math.round(time * 1000) / 1000);
}

function wordSingle(operation: Exclude<Operation, TxnOperation> | Action, key: boolean): string {
  const { op } = operation;
  const about =
    'prefix' in operation ? ` ${shown(operation.prefix)}*` : key ? ` ${shown(operation.key)}` : '';
  switch (op) {
    case 'put':
    case 'append':
      return `${op}${about} ${shown(operation.value)}`;
    case 'cas':
      return `${op}${about} ${shown(operation.expected)} to ${shown(operation.value)}`;
    case 'add':
      return `${op}${about} ${operation.delta}`;
    case 'get':
    case 'delete':
    case 'scan':
    case 'delete-prefix':
      return op + about;
  }
}

function answer(operation: Exclude<Operation, TxnOperation>): string {
  if (operation.outcome === 'unknown') return ' -> unknown';
  if (operation.outcome === 'fail') return ' -> failed';
  if (operation.op === 'cas') return operation.swapped ? ' -> swapped' : ' -> not swapped';
  return told(operation.op, operation);
}

/** What a write was told is what it wrote, unless it is an `add`. */
function told(op: string, { value, deleted, entries }: ActionResult): string {
  if (entries !== undefined) return ` -> {${wordEntries(entries)}}`;
  if (deleted !== undefined) return ` -> deleted ${deleted}`;
  return (op === 'get' || op === 'add') && value !== undefined ? ` -> ${shown(value)}` : '';
}

function wordEntries(entries: readonly EntryRead[]): string {
  return listed(entries, ({ key, value }) => `${shown(key, 20)}: ${shown(value, 20)}`, 'entries');
}

function wordTxn(txn: TxnOperation): string {
  const { compares, outcome, succeeded } = txn;
  const condition =
    compares.length === 0 ? '' : ` if ${listed(compares, wordCompare, 'compares', PARTS_SHOWN)}:`;
  const [branch] = branchesOf({ ...txn, outcome: outcome === 'fail' ? 'unknown' : outcome });
  const actions = branch?.actions ?? [];
  const words = listed(
    actions,
    ({ action, result }) => wordSingle(action, true) + told(action.op, result),
    'actions',
    PARTS_SHOWN,
  );
  const other = branch?.succeeded === false && compares.length > 0 ? ' else' : '';
  const result =
    outcome === 'unknown'
      ? 'unknown'
      : outcome === 'fail'
        ? 'failed'
        : succeeded
          ? 'succeeded'
          : 'not succeeded';
  return `txn${condition}${other} [${words}] -> ${result}`;
}

function wordCompare(compare: Compare): string {
  const key = shown(compare.key);
  if (compare.target === 'exists') return `${key} ${compare.exists ? 'exists' : 'is absent'}`;
  if (compare.target === 'value') return `${key} ${compare.comparison} ${shown(compare.value)}`;
  return `${compare.target} of ${key} ${compare.comparison} ${compare.number}`;
}

function listed<T>(
  items: readonly T[],
  word: (item: T) => string,
  plural: string,
  most = ENTRIES_SHOWN,
): string {
  const words = items.slice(0, most).map(word);
  if (items.length > most) words.push(`… ${items.length} ${plural}`);
  return words.join(', ');
}
