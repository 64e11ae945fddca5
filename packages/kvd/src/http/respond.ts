/**
 * Answers: JSON, errors with their status, and how a connection ends when a request was refused before its body was
 * read. Every answer says how long it is, so a client never has to guess where it ends.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERRORS, type ErrorCode, KvdError, MESSAGE_TEXT_BYTES_MAX } from '@kvd/protocol';

/** How long, and for how many bytes, a refused body is read and dropped, so that the client gets to see the answer. */
const LINGER_MS = 1_000;
const LINGER_BYTES_MAX = 8 * 1024 * 1024;
/** A client that does not read an answer loses its connection after that. */
export const STALLED_ANSWER_MS = 30_000;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

export function jsonAnswer(
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: `${JSON.stringify(body)}\n`,
  };
}

/** The status of a code; a mutation that may have happened is 504 where a read is 503. */
export function errorAnswer(
  code: ErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const status = ERRORS[code].httpStatus;
  const retry: Record<string, string> = status === 429 || status === 503 ? { 'Retry-After': '1' } : {};
  return jsonAnswer(
    status,
    { code, message: message.slice(0, MESSAGE_TEXT_BYTES_MAX) },
    { ...retry, ...headers },
  );
}

/** What an exception of a handler means to the client. */
export function answerTo(error: unknown): Answer {
  if (error instanceof KvdError) return errorAnswer(error.code, error.message);
  return errorAnswer('KVD_INTERNAL', 'an internal error; the log of this replica says more');
}

export function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed || response.headersSent) {
    response.destroy();
    return;
  }
  // Text goes out in one piece with the head, bytes in a piece of their own.
  const { body } = answer;
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const headers = { 'Content-Length': length, 'X-Content-Type-Options': 'nosniff', ...answer.headers };
  if (request.complete) {
    response.writeHead(answer.status, headers).end(body);
    dropWhenStalled(response);
    return;
  }
  response.writeHead(answer.status, { ...headers, Connection: 'close' });
  if (request.method !== 'HEAD') response.write(body);
  endAfterLinger(request, response);
}

/**
 * Closing a connection that still receives makes the kernel reset it, and the client may then never see the answer: so
 * what it sends is read and dropped for a while first.
 */
function endAfterLinger(request: IncomingMessage, response: ServerResponse): void {
  let left = LINGER_BYTES_MAX;
  const end = (): void => {
    clearTimeout(timer);
    response.end();
    dropWhenStalled(response);
  };
  const timer = setTimeout(end, LINGER_MS);
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
  request.once('end', end);
  request.once('close', end);
  request.resume();
}

/** Of an answer that is complete: a client that does not read it loses its connection. */
export function dropWhenStalled(response: ServerResponse): void {
  if (response.writableLength === 0) return;
  const timer = setTimeout(() => response.destroy(), STALLED_ANSWER_MS);
  response.once('close', () => clearTimeout(timer));
}
