/** What became of an operation whose answer was lost. Asking fences it: what was not done then never will be. (DESIGN 7) */
import {
  type CommandResult,
  KvdError,
  type OperationOutcome as WireOutcome,
  type Response,
} from '@kvd/protocol';
import { type Bytes, toBytes } from './bytes.js';
import { type Caller, unexpected } from './caller.js';
import { bad, checkObject, type OperationOptions } from './options.js';
import { type OperationDone, toDone } from './txn.js';

/** What an operation that was done gave. */
export type AppliedResult =
  | { readonly type: 'put'; readonly revision: number }
  | { readonly type: 'deleted'; readonly revision: number; readonly deleted: number }
  | {
      readonly type: 'txn';
      readonly revision: number;
      readonly succeeded: boolean;
      readonly results: readonly OperationDone[];
    }
  | { readonly type: 'lease'; readonly lease: number; readonly ttlMs: number }
  | { readonly type: 'done' };

/**
 * - applied: it was done, with this result.
 * - never: it was not, and never will be. Under an Idempotency-Key that is known for an hour of cluster time, so ask within
 *   an hour of the request: an older key is forgotten, whatever was done under it.
 * - answered: its number is below those that its client still waits for, so it had its answer, which is forgotten.
 * - forgotten: its session is gone. It will not be done any more; whether it was is not known.
 */
export type OperationOutcome =
  | { readonly status: 'applied'; readonly result: AppliedResult }
  | { readonly status: 'never' }
  | { readonly status: 'answered' }
  | { readonly status: 'forgotten' };

/** `SESSION.SEQUENCE`, as error.operationId and the history have it, or the Idempotency-Key of an HTTP request. */
export type OperationName = string | { readonly idempotencyKey: Bytes };

export async function askOutcome(
  caller: Caller,
  operation: OperationName,
  options: OperationOptions | undefined,
): Promise<OperationOutcome> {
  if (typeof operation !== 'string') {
    const idempotencyKey = toBytes(checkObject('operation', operation).idempotencyKey);
    return caller.repeat({ type: 'keyed-outcome', idempotencyKey }, asOutcome, options);
  }
  const [, session = '', sequence = ''] = /^([1-9]\d{0,15})\.([1-9]\d{0,15})$/.exec(operation) ?? [];
  const id = { session: Number(session), sequence: Number(sequence) };
  if (session === '' || !Number.isSafeInteger(id.session) || !Number.isSafeInteger(id.sequence))
    throw bad(`'${operation}' is no operation: SESSION.SEQUENCE`);
  const outcome = await caller.repeat({ type: 'outcome', ...id }, asOutcome, options);
  caller.dispatcher.resolved(id.session, id.sequence);
  return outcome;
}

function asOutcome(response: Response): OperationOutcome {
  if (response.type !== 'result' || response.result.type !== 'outcome') throw unexpected(response, 'unknown');
  const outcome: WireOutcome = response.result.outcome;
  return outcome.status === 'applied' ? { status: 'applied', result: toApplied(outcome.result) } : outcome;
}

function toApplied(result: CommandResult): AppliedResult {
  switch (result.type) {
    case 'txn':
      return { ...result, results: result.results.map(toDone) };
    case 'put':
    case 'deleted':
    case 'lease':
    case 'done':
      return result;
    default:
      throw new KvdError('KVD_INTERNAL', `an operation with a result of type '${result.type}'`, 'not-done');
  }
}
