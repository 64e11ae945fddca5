/** Answers that cannot be whatever the store holds, because they do not even fit what was asked. Seen without a search. */
import type { History, Operation } from './operation.js';
import { compareBytes, hasPrefix, shown } from './text.js';
import { branchesOf, type ToldAction } from './transactions.js';

export interface WrongAnswer {
  /** Its operation's index in the history. */
  readonly operation: number;
  /** The key that tells; of a deletion the key or prefix that was asked for. */
  readonly key: string;
  /** What is wrong, as the end of a sentence that begins with the operation. */
  readonly what: string;
}

/** @param keysUnder the keys under a prefix that the history names: no others can ever be deleted */
export function findWrongAnswers(history: History, keysUnder: KeysUnder): WrongAnswer[] {
  return history.operations.flatMap((operation, index) => {
    for (const told of toldActions(operation)) {
      const wrong = wrongScan(told) ?? wrongCount(told, keysUnder);
      if (wrong !== undefined) return [{ operation: index, ...wrong }];
    }
    return [];
  });
}

export type KeysUnder = (prefix: string) => readonly string[];
type Wrong = Omit<WrongAnswer, 'operation'>;
type Told = Pick<ToldAction, 'result'> & { readonly action: Operation | ToldAction['action'] };

function toldActions(operation: Operation): readonly Told[] {
  if (operation.outcome !== 'ok') return [];
  if (operation.op === 'txn') return branchesOf(operation).flatMap(({ actions }) => actions);
  return [{ action: operation, result: operation }];
}

/** Entries come in the order of their keys' bytes, each once, under the prefix, and no more than the limit. */
function wrongScan({ action, result: { entries = [] } }: Told): Wrong | undefined {
  if (action.op !== 'scan') return undefined;
  let before: string | undefined;
  for (const { key } of entries) {
    if (!hasPrefix(key, action.prefix)) return { key, what: `found ${shown(key)}, which has another prefix` };
    const order = before === undefined ? -1 : compareBytes(before, key);
    if (order === 0) return { key, what: `found ${shown(key)} twice` };
    if (order > 0) return { key, what: `found ${shown(key)} after ${shown(before ?? null)}, out of order` };
    before = key;
  }
  const { limit = 0 } = action;
  if (limit === 0 || entries.length <= limit) return undefined;
  return { key: before ?? '', what: `found ${entries.length} entries, more than its limit of ${limit}` };
}

function wrongCount({ action, result: { deleted = 0 } }: Told, keysUnder: KeysUnder): Wrong | undefined {
  if (action.op === 'delete') {
    if (deleted <= 1) return undefined;
    return { key: action.key, what: `deleted ${deleted}, where there is one key` };
  }
  if (action.op !== 'delete-prefix') return undefined;
  const count = keysUnder(action.prefix).length;
  if (deleted <= count) return undefined;
  return { key: action.prefix, what: `deleted ${deleted}, where nobody ever named more than ${count} keys` };
}
