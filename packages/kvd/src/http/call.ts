/** A request as the routes get it, and its body as JSON. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KvdError } from '@kvd/protocol';
import { isUtf8 } from 'node:buffer';
import { readBody } from './body.js';

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client sent "Expect: 100-continue". */
  readonly expectsContinue: boolean;
}

const SMALL_BODY_BYTES_MAX = 64 * 1024;

/** @throws KvdError(KVD_BAD_REQUEST) on what is no JSON; else as readBody */
export async function readJson(call: Call, bytesMax = SMALL_BODY_BYTES_MAX): Promise<unknown> {
  const body = await readBody(call.request, call.response, bytesMax, call.expectsContinue);
  if (!isUtf8(body)) throw new KvdError('KVD_BAD_REQUEST', 'the body is no UTF-8');
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new KvdError('KVD_BAD_REQUEST', 'the body is no JSON');
  }
}
