/**
 * What all requests that change something share: headers that wrap their command, and what its result means over HTTP.
 * A write without an Idempotency-Key carries no session: when its answer is lost, its outcome is unknown (504).
 */
import type { IncomingMessage } from 'node:http';
import {
  type Command,
  type CommandResult,
  ERRORS,
  encodeCommand,
  KvdError,
  type MutateRequest,
  type Response,
  resultJson,
} from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { idempotencyKeyOf, noteOf, timeoutOf } from './query.js';
import { type Answer, errorAnswer, jsonAnswer } from './respond.js';

/** What a route makes of a result that is no error. */
export type Tell = (result: Success) => Answer;
export type Success = Exclude<CommandResult, { type: 'error' }>;

const tellAll: Tell = (result) => jsonAnswer(200, resultJson(result));

/**
 * The headers of a write, checked before its body is read, as what does a command with them. `tell` turns its result
 * into an answer; errors are answered here.
 */
export function readMutation(
  requester: Requester,
  request: IncomingMessage,
): (command: Command, tell?: Tell) => Promise<Answer> {
  refuseConditions(request);
  const timeoutMs = timeoutOf(request);
  const idempotencyKey = idempotencyKeyOf(request);
  const { principal, reason } = noteOf(request);
  return async (command, tell = tellAll) => {
    let bytes = encodeCommand(command);
    if (principal !== '' || reason !== '') {
      bytes = encodeCommand({ type: 'noted', principal, reason, command: bytes });
    }
    if (idempotencyKey !== undefined) {
      bytes = encodeCommand({ type: 'keyed', idempotencyKey, command: bytes });
    }
    return tellOutcome(await requester.request({ type: 'mutate', timeoutMs, command: bytes }), tell);
  };
}

/** A condition that is not looked at is a write that nobody wanted. */
function refuseConditions({ headers }: IncomingMessage): void {
  for (const name of ['if-match', 'if-none-match', 'if-unmodified-since'])
    if (headers[name] !== undefined)
      throw new KvdError(
        'KVD_BAD_REQUEST',
        `${name} is no condition here: ?if_absent and ?if_revision=N are`,
      );
}

/** A command that may be done twice as well as once, and changes no key: neither keyed nor noted. */
export async function repeatable(
  requester: Requester,
  request: IncomingMessage,
  command: Command,
  tell: Tell = tellAll,
): Promise<Answer> {
  const asked: MutateRequest = {
    type: 'mutate',
    timeoutMs: timeoutOf(request),
    command: encodeCommand(command),
  };
  return tellOutcome(await requester.request(asked), tell);
}

/** An error of what may have changed something: where nobody knows, it says so. */
export function errorOf({ code, message, outcome }: Extract<Response, { type: 'error' }>): Answer {
  const lost = outcome === 'unknown' && ERRORS[code].httpStatus === 503;
  return errorAnswer(lost ? 'KVD_OUTCOME_UNKNOWN' : code, message);
}

function tellOutcome(response: Response, tell: Tell): Answer {
  if (response.type === 'error') return errorOf(response);
  if (response.type !== 'result') throw new Error(`a mutation was answered with "${response.type}"`);
  const { result } = response;
  return result.type === 'error' ? errorAnswer(result.code, result.message) : tell(result);
}
