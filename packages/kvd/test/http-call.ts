/** HTTP as a test sends it: nothing is normalised on the way. */
import { type IncomingMessage, request as httpRequest } from 'node:http';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  json(): unknown;
}

/** fetch() normalises paths and headers; this sends what it is given. */
export function call(
  port: number,
  method: string,
  path: string,
  body?: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const all = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: all,
          json: () => JSON.parse(all.toString()),
        });
      });
    });
    sent.on('error', reject);
    // A text would be sent in one piece with the headers, and make them UTF-8 too.
    sent.end(typeof body === 'string' ? Buffer.from(body) : body);
  });
}
