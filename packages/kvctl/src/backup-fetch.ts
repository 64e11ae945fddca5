/** Asks a replica for a snapshot (GET /v1/snapshot), and gives its bytes as they come. */
import { ERRORS, type ErrorCode, KvdError } from '@kvd/client';
import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { unavailable } from './errors.js';
import { parseObject } from './http.js';

export interface SnapshotQuery {
  readonly consistency: 'linearizable' | 'stale';
  /** In which the replica has to be where the cluster is. */
  readonly timeoutMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** The replica asks the cluster, itself, and then waits for its disk, each in the time given. */
const BEGIN_FACTOR = 3;
const BEGIN_GRACE_MS = 1_000;
/** A replica that sends nothing for so long is not going to. */
const STALL_MS = 30_000;
const ERROR_BYTES_MAX = 64 * 1024;

/**
 * The whole answer, or an error in its middle.
 * @throws KvdError what the replica says; CliError unavailable when it does not answer, or not to the end
 */
export async function* fetchSnapshot(address: string, query: SnapshotQuery): AsyncGenerator<Buffer> {
  const { consistency, timeoutMs, signal } = query;
  const request = httpRequest(`http://${address}/v1/snapshot?consistency=${consistency}`, {
    headers: { 'Kvd-Timeout-Ms': String(timeoutMs) },
    agent: false,
    signal,
    timeout: BEGIN_FACTOR * timeoutMs + BEGIN_GRACE_MS,
  });
  let begun = false;
  request.on('timeout', () => {
    request.destroy(new Error(begun ? `it sent nothing for ${STALL_MS} ms` : 'it does not answer'));
  });
  request.end();
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    begun = true;
    request.setTimeout(STALL_MS);
    if (response.statusCode !== 200) throw await refusalOf(response, address);
    for await (const bytes of response) yield bytes as Buffer;
  } catch (error) {
    if (signal.aborted || error instanceof KvdError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw unavailable(`${address}: ${begun ? 'the snapshot broke off: ' : ''}${why}`);
  } finally {
    request.destroy();
  }
}

async function refusalOf(response: IncomingMessage, address: string): Promise<KvdError> {
  let body = '';
  for await (const bytes of response) {
    body += String(bytes);
    if (body.length > ERROR_BYTES_MAX) break;
  }
  try {
    const { code, message } = parseObject(body);
    if (typeof code === 'string' && code in ERRORS)
      return new KvdError(code as ErrorCode, `${address}: ${String(message)}`, 'not-done');
  } catch {
    // Told below: whoever answered is no kvd, or one of before there were snapshots.
  }
  return new KvdError('KVD_INTERNAL', `${address}: HTTP ${response.statusCode} ${body.slice(0, 200)}`);
}
