/**
 * What a transaction is made of, for every check: which branches it may have taken, what each of their actions was told, and
 * which keys an operation names at all.
 */
import type { Action, ActionResult, Operation, TxnOperation } from './operation.js';

/** An action of a branch and what it was told, {} where it was told nothing. */
export interface ToldAction {
  readonly action: Action;
  readonly result: ActionResult;
}

export interface Branch {
  /** Did the compares hold? */
  readonly succeeded: boolean;
  readonly actions: readonly ToldAction[];
}

/** The branches that it may have taken: one when that was answered, none when it failed. */
export function branchesOf(txn: TxnOperation): readonly Branch[] {
  if (txn.outcome === 'fail') return [];
  const isKnown = txn.outcome === 'ok';
  const branch = (succeeded: boolean): Branch => {
    const results = isKnown ? (txn.results ?? []) : [];
    const actions = (succeeded ? txn.success : txn.failure).map((action, i) => {
      return { action, result: results[i] ?? {} };
    });
    return { succeeded, actions };
  };
  return isKnown ? [branch(txn.succeeded === true)] : [branch(true), branch(false)];
}

/** Might it change what it is about? */
export function isWrite({ op }: Action): boolean {
  return op !== 'get' && op !== 'scan';
}

/** Did it certainly change nothing? */
export function foundNothing({ action, result }: ToldAction): boolean {
  return !isWrite(action) || ('deleted' in result && result.deleted === 0);
}

/** Every key that an operation names, in what was asked or in what it was told. */
export function namedKeys(operation: Operation): readonly string[] {
  switch (operation.op) {
    case 'scan':
      return (operation.entries ?? []).map(({ key }) => key);
    case 'delete-prefix':
      return [];
    case 'txn': {
      const { compares, success, failure, results = [] } = operation;
      const asked = [...compares, ...success, ...failure];
      return [
        ...asked.flatMap((part) => ('key' in part ? [part.key] : [])),
        ...results.flatMap(({ entries = [] }) => entries.map(({ key }) => key)),
      ];
    }
    default:
      return [operation.key];
  }
}
