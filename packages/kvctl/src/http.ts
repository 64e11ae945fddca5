/** One HTTP exchange with a replica, bounded in time and size. Its connection is not kept. */
import http from 'node:http';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

const BODY_BYTES_MAX = 1024 * 1024;

/** @throws Error when there is no whole answer within `timeoutMs` */
export function httpCall(
  method: 'GET' | 'PUT' | 'POST',
  address: string,
  path: string,
  timeoutMs: number,
  body?: unknown,
  moreHeaders: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const ofBody =
      text === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const headers = { ...ofBody, ...moreHeaders };
    const signal = AbortSignal.timeout(timeoutMs);
    const onError = (error: Error) =>
      reject(signal.aborted ? new Error(`${address} did not answer within ${timeoutMs} ms`) : error);
    const request = http.request(
      `http://${address}${path}`,
      { method, headers, agent: false, signal },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > BODY_BYTES_MAX)
            response.destroy(new Error(`${address} sent more than ${BODY_BYTES_MAX} bytes`));
        });
        response.on('error', onError);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
        });
      },
    );
    request.on('error', onError);
    request.end(text);
  });
}

/** The fields of a JSON object. @throws Error when it is none */
export function parseObject(body: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(body);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('not a JSON object');
  return { ...value };
}
