/** Reads a request's body whole, up to a bound that is checked before anything is kept. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KvdError } from '@kvd/protocol';

/**
 * @param expectsContinue the client waits for "100 Continue" before it sends the body
 * @throws KvdError(KVD_TOO_LARGE) above `bytesMax`; KvdError(KVD_CLOSED) when the client is gone
 */
export function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  bytesMax: number,
  expectsContinue: boolean,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = (): void => {
      settle(() => reject(new KvdError('KVD_TOO_LARGE', `the body is larger than ${bytesMax} bytes`)));
    };
    const chunks: Buffer[] = [];
    let length = 0;
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > bytesMax) tooLarge();
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks, length)));
    const onGone = (): void => {
      settle(() => reject(new KvdError('KVD_CLOSED', 'the client closed the connection')));
    };
    const settle = (act: () => void): void => {
      request.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
      request.on('error', () => undefined);
      act();
    };
    if (Number(request.headers['content-length'] ?? 0) > bytesMax) {
      tooLarge();
      return;
    }
    // It may have waited for its turn.
    if (request.destroyed) {
      onGone();
      return;
    }
    if (expectsContinue) response.writeContinue();
    request.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone);
  });
}
