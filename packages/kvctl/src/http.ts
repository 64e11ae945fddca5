/** One HTTP exchange with a replica, bounded in time and size. Its connection is not kept. */
import http from 'node:http';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

const BODY_BYTES_MAX = 1024 * 1024;

/** No answer, or not a whole one. `message` says why without the address, which whoever asked names. */
export class HttpError extends Error {
  override name = 'HttpError';

  constructor(
    message: string,
    /** Did a connection never come about, so that certainly nothing was asked? */
    readonly isRefused: boolean,
  ) {
    super(message);
  }
}

/** @throws HttpError when there is no whole answer within `timeoutMs` */
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
    const onError = (error: NodeJS.ErrnoException) =>
      reject(
        signal.aborted
          ? new HttpError(`did not answer within ${timeoutMs} ms`, false)
          : new HttpError(whyLost(error, address), error.code === 'ECONNREFUSED'),
      );
    const request = http.request(
      `http://${address}${path}`,
      { method, headers, agent: false, signal },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > BODY_BYTES_MAX) response.destroy(new Error(`sent more than ${BODY_BYTES_MAX} bytes`));
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

function whyLost({ code, message }: NodeJS.ErrnoException, address: string): string {
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ECONNRESET':
      return 'the connection broke off';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no such host';
    default:
      // As in 'connect EHOSTUNREACH 10.0.0.1:15000'.
      return message.replace(` ${address}`, '');
  }
}

/** The fields of a JSON object. @throws Error when it is none */
export function parseObject(body: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(body);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('not a JSON object');
  return { ...value };
}
