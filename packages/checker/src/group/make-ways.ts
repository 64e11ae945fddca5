/** From operations to what they demand of their group and do to it. */
import type { AddOperation, DeletePrefixOperation, TxnOperation } from '../operation.js';
import { addReads, type Demand } from '../steps.js';
import { type Branch, branchesOf, type ToldAction } from '../transactions.js';
import { type Guard, type Move, type Way, writes } from './transition.js';

type PlaceOf = (key: string) => number;
type KeysUnder = (prefix: string) => readonly string[];

/** An operation that is one moment on one group. */
export type WholeOperation = TxnOperation | AddOperation | DeletePrefixOperation;

/** In which ways the operation may have taken effect; none: whether it did, nobody can tell. */
export function makeWays(operation: WholeOperation, placeOf: PlaceOf, keysUnder: KeysUnder): Way[] {
  if (operation.op === 'txn') {
    const isKnown = operation.outcome === 'ok';
    const ways = branchesOf(operation).map((branch) => wayOf(operation, branch, placeOf, keysUnder));
    // Of an unknown outcome, a branch that changes nothing is as if it had never been.
    return ways.filter(({ guard, moves }) => {
      return isKnown ? guard !== undefined || moves.length > 0 : moves.some(writes);
    });
  }
  const result = operation.outcome === 'ok' ? operation : {};
  return [{ guard: undefined, moves: movesOfAction({ action: operation, result }, placeOf, keysUnder) }];
}

function wayOf(txn: TxnOperation, branch: Branch, placeOf: PlaceOf, keysUnder: KeysUnder): Way {
  const compares = txn.compares.map((compare) => ({ key: placeOf(compare.key), compare }));
  const guard: Guard = { compares, holds: branch.succeeded };
  const isEmpty = compares.length === 0 && branch.succeeded;
  return {
    guard: isEmpty ? undefined : guard,
    moves: branch.actions.flatMap((told) => movesOfAction(told, placeOf, keysUnder)),
  };
}

function movesOfAction({ action, result }: ToldAction, placeOf: PlaceOf, keysUnder: KeysUnder): Move[] {
  const { value, deleted, entries } = result;
  switch (action.op) {
    case 'get':
      return value === undefined ? [] : [{ type: 'expect', key: placeOf(action.key), value }];
    case 'put':
      return [{ type: 'set', key: placeOf(action.key), value: action.value }];
    case 'add': {
      // No sum is absent: whoever was told so was told what cannot be.
      const sum = value === null ? '' : value;
      return [{ type: 'add', key: placeOf(action.key), delta: BigInt(action.delta), sum }];
    }
    case 'delete':
      return deletion([placeOf(action.key)], deleted);
    case 'delete-prefix':
      return deletion(keysUnder(action.prefix).map(placeOf), deleted);
    case 'scan': {
      const moves: Move[] = [];
      if (entries === undefined) return moves;
      addReads(entries, action.limit, keysUnder(action.prefix), (key, { requires = null }) => {
        moves.push({ type: 'expect', key: placeOf(key), value: requires });
      });
      return moves;
    }
  }
}

function deletion(keys: readonly number[], deleted: number | undefined): Move[] {
  const counted: Move[] = deleted === undefined ? [] : [{ type: 'count', keys, present: deleted }];
  if (deleted === 0) return counted;
  return [...counted, ...keys.map((key): Move => ({ type: 'set', key, value: null }))];
}

/** What an operation on one key demands and does, as moves. */
export function movesOf({ requires, excludes, sets, appends }: Demand, key: number): Move[] {
  const moves: Move[] = [];
  if (requires !== undefined) moves.push({ type: 'expect', key, value: requires });
  if (excludes !== undefined) moves.push({ type: 'differ', key, value: excludes });
  if (sets !== undefined && sets !== requires) moves.push({ type: 'set', key, value: sets });
  if (appends !== undefined) moves.push({ type: 'append', key, value: appends });
  return moves;
}
