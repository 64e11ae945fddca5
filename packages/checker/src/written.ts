/** What operations leave under which keys, and whether they took a revision for it, as far as they were told. */
import type { CasOperation, Operation, Value } from './operation.js';
import { branchesOf, foundNothing, type ToldAction } from './transactions.js';

export interface Written {
  readonly key: string;
  /** null: deleted; undefined: it depends on what was there. */
  readonly value: Value | undefined;
}

/** What it left, or may have if its outcome is unknown. Deletions of prefixes are not listed. */
export function writtenBy(operation: Operation): readonly Written[] {
  if (operation.outcome === 'fail') return [];
  switch (operation.op) {
    case 'put':
      return [{ key: operation.key, value: operation.value }];
    case 'append':
      return [{ key: operation.key, value: undefined }];
    case 'add':
      return [{ key: operation.key, value: operation.value ?? undefined }];
    case 'cas':
      if (operation.swapped === false || keepsAbsent(operation)) return [];
      return [{ key: operation.key, value: operation.value }];
    case 'delete':
      return operation.deleted === 0 ? [] : [{ key: operation.key, value: null }];
    case 'txn':
      return branchesOf(operation).flatMap(({ actions }) => actions.flatMap(writtenByAction));
    case 'get':
    case 'scan':
    case 'delete-prefix':
      return [];
  }
}

function writtenByAction({ action, result }: ToldAction): Written[] {
  if (action.op === 'put') return [{ key: action.key, value: action.value }];
  if (action.op === 'add') return [{ key: action.key, value: result.value ?? undefined }];
  if (action.op === 'delete' && result.deleted !== 0) return [{ key: action.key, value: null }];
  return [];
}

/** To delete what is absent changes nothing, and takes no revision; to put a value that is there already takes one. */
function keepsAbsent({ expected, value }: CasOperation): boolean {
  return expected === null && value === null;
}

/** An `ok` mutation that changed something, as far as its answer says. */
export function hasChanged(operation: Operation): boolean {
  if (operation.outcome !== 'ok') return false;
  switch (operation.op) {
    case 'get':
    case 'scan':
      return false;
    case 'put':
    case 'append':
    case 'add':
      return true;
    case 'cas':
      return operation.swapped === true && !keepsAbsent(operation);
    case 'delete':
    case 'delete-prefix':
      return operation.deleted !== 0;
    case 'txn':
      return branchesOf(operation).some(({ actions }) => !actions.every(foundNothing));
  }
}

/** The revision that an operation took for what it changed. */
export function takenRevision(operation: Operation): number | undefined {
  return 'revision' in operation && hasChanged(operation) ? operation.revision : undefined;
}
