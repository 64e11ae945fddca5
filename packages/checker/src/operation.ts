/**
 * What a history is made of: what clients asked of a key-value store, when, and what they were told. The same fields as
 * in the JSON lines of docs/CHECKER.md. Types only, and the one question of whether an answer is complete.
 */

/** A value, or null where there is none. Text stands for bytes as in text.ts. */
export type Value = string | null;

/**
 * - ok: it was done, and answered what the operation says.
 * - fail: it was certainly not done and never will be.
 * - unknown: it may have taken effect, may take effect at any later time, or never.
 */
export type Outcome = 'ok' | 'fail' | 'unknown';

/** What a read was told of a key that is there. */
export interface EntryRead {
  readonly key: string;
  readonly value: string;
  /** Revision of the last write of the key. */
  readonly modRevision?: number;
  /** Writes of the key since it was created, 1 for the first. */
  readonly version?: number;
}

export type Comparison = '=' | '!=' | '<' | '>';

/** Numbers of an entry that a transaction may look at; all of them are 0 for a key that is absent. */
export type CompareNumber = 'version' | 'create-revision' | 'mod-revision' | 'lease';

/**
 * What has to hold of a key for a transaction to take its first branch. Values are ordered by their bytes; no value is
 * equal to, below or above that of a key that is absent.
 */
export type Compare =
  | { readonly key: string; readonly target: 'exists'; readonly exists: boolean }
  | {
      readonly key: string;
      readonly target: 'value';
      readonly comparison: Comparison;
      readonly value: string;
    }
  | {
      readonly key: string;
      readonly target: CompareNumber;
      readonly comparison: Comparison;
      readonly number: number;
    };

/** What is asked. */
export type Call =
  | { readonly op: 'get'; readonly key: string }
  | { readonly op: 'put'; readonly key: string; readonly value: string }
  | { readonly op: 'delete'; readonly key: string }
  /** Sets `value` (null: deletes) if the value is `expected` (null: absent). */
  | { readonly op: 'cas'; readonly key: string; readonly expected: Value; readonly value: Value }
  /** Appends to the value; an absent one counts as empty. */
  | { readonly op: 'append'; readonly key: string; readonly value: string }
  /** The entries whose keys begin with `prefix`, in the order of their bytes; the first `limit` (0, undefined: all). */
  | { readonly op: 'scan'; readonly prefix: string; readonly limit?: number }
  | { readonly op: 'delete-prefix'; readonly prefix: string }
  /** Adds to the decimal number in the value; an absent one counts as 0. */
  | { readonly op: 'add'; readonly key: string; readonly delta: string }
  /** All at one moment: `success` if every compare holds, else `failure`; each action on what the ones before left. */
  | {
      readonly op: 'txn';
      readonly compares: readonly Compare[];
      readonly success: readonly Action[];
      readonly failure: readonly Action[];
    };

/** What a transaction may do; see Call. */
export type Action = Extract<Call, { op: 'get' | 'put' | 'delete' | 'add' | 'scan' | 'delete-prefix' }>;

/** What an operation that was done may have been told. Which fields an operation has: `Operation`. */
export interface Answer {
  /** get (null: absent), add (what it made of it). */
  readonly value?: Value;
  /** get of a key that is there. */
  readonly modRevision?: number;
  /** get of a key that is there. */
  readonly version?: number;
  /** scan. */
  readonly entries?: readonly EntryRead[];
  /** cas: did the comparison hold? */
  readonly swapped?: boolean;
  /** delete, delete-prefix: how many keys were there. */
  readonly deleted?: number;
  /** txn: did every compare hold? */
  readonly succeeded?: boolean;
  /** txn: one for each action of the branch that was taken. */
  readonly results?: readonly ActionResult[];
  /** The revision that a mutation took; the store's present one where it changed nothing. */
  readonly revision?: number;
}

/** What one action of a transaction was told; whatever is not there was not told. */
export type ActionResult = Pick<Answer, 'value' | 'modRevision' | 'version' | 'entries' | 'deleted'>;

interface Common {
  /** Who asked. One client may have several operations under way. */
  readonly client: string;
  /** When it was asked, in any unit, on one clock for the whole history. */
  readonly start: number;
  /** When the client was told or gave up; null: never. An unknown outcome stays open whatever `end` says. */
  readonly end: number | null;
  readonly outcome: Outcome;
  /** What the client was told of a failure, for people. */
  readonly error?: string;
  /** Where it was in a file, for people. */
  readonly line?: number;
}

export type GetOperation = Common &
  Extract<Call, { op: 'get' }> &
  Pick<Answer, 'value' | 'modRevision' | 'version'>;
export type PutOperation = Common & Extract<Call, { op: 'put' }> & Pick<Answer, 'revision'>;
export type DeleteOperation = Common & Extract<Call, { op: 'delete' }> & Pick<Answer, 'deleted' | 'revision'>;
export type CasOperation = Common & Extract<Call, { op: 'cas' }> & Pick<Answer, 'swapped' | 'revision'>;
export type AppendOperation = Common & Extract<Call, { op: 'append' }> & Pick<Answer, 'revision'>;
export type ScanOperation = Common & Extract<Call, { op: 'scan' }> & Pick<Answer, 'entries'>;
export type DeletePrefixOperation = Common &
  Extract<Call, { op: 'delete-prefix' }> &
  Pick<Answer, 'deleted' | 'revision'>;

export type AddOperation = Common & Extract<Call, { op: 'add' }> & Pick<Answer, 'value' | 'revision'>;
export type TxnOperation = Common &
  Extract<Call, { op: 'txn' }> &
  Pick<Answer, 'succeeded' | 'results' | 'revision'>;

export type Operation =
  | GetOperation
  | PutOperation
  | DeleteOperation
  | CasOperation
  | AppendOperation
  | ScanOperation
  | DeletePrefixOperation
  | AddOperation
  | TxnOperation;

/** What one replica holds under a key when all is over and every replica has caught up. */
export interface FinalRead {
  readonly replica: string;
  readonly key: string;
  readonly value: Value;
  readonly modRevision?: number;
  readonly version?: number;
  readonly line?: number;
}

export interface History {
  readonly operations: readonly Operation[];
  /** Of every key and every replica, or none at all. */
  readonly finals?: readonly FinalRead[];
  /** What every key holds at the beginning; default null, absent. */
  readonly initial?: Value;
  /**
   * The store's revision at the beginning. Given only when the history has every mutation of the store since: then more
   * revisions than mutations mean that one was applied twice.
   */
  readonly baseRevision?: number;
}

/** More operations than this are refused. */
export const OPERATIONS_MAX = 5_000_000;

/** Why something is no history. `line` counts from 1; 0 when it is not about a line. */
export class HistoryError extends Error {
  constructor(
    readonly code: 'HISTORY_MALFORMED' | 'HISTORY_TOO_LARGE',
    message: string,
    readonly line = 0,
  ) {
    super(line > 0 ? `line ${line}: ${message}` : message);
    this.name = 'HistoryError';
  }
}

/** The field that an `ok` operation must have and this one has not, if any. */
export function missingField(operation: Operation): string | undefined {
  if (operation.outcome !== 'ok') return undefined;
  if (operation.end === null) return 'end';
  if (operation.op === 'get' && operation.value === undefined) return 'value';
  if (operation.op === 'scan' && operation.entries === undefined) return 'entries';
  if (operation.op === 'cas' && operation.swapped === undefined) return 'swapped';
  if (operation.op === 'txn' && operation.succeeded === undefined) return 'succeeded';
  return undefined;
}
