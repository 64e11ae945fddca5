/**
 * One client's way to one replica over HTTP, one request at a time on a connection that is kept. Tells the answers apart
 * from having none, and a request that never left from one that may have been carried out.
 */
import http from 'node:http';

export interface HttpReply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** There was no answer. */
export class NoReply extends Error {
  constructor(
    message: string,
    /** False: it certainly never reached the replica. */
    readonly sent: boolean,
  ) {
    super(message);
    this.name = 'NoReply';
  }
}

export interface HttpCall {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const BODY_BYTES_MAX = 16 * 1024 * 1024;

export class HttpSession {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

  /** Asked before each call: the replica may have been replaced by one elsewhere. */
  constructor(private readonly addressOf: () => string) {}

  /** @throws NoReply */
  call(call: HttpCall, timeoutMs: number): Promise<HttpReply> {
    return new Promise((resolve, reject) => {
      const { method, path, headers, body } = call;
      const request = http.request(`http://${this.addressOf()}${path}`, {
        method,
        agent: this.agent,
        headers,
      });
      const timer = setTimeout(
        () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)),
        timeoutMs,
      );
      const fail = (error: NodeJS.ErrnoException): void => {
        clearTimeout(timer);
        reject(new NoReply(error.message, error.code !== 'ECONNREFUSED'));
      };
      request.on('error', fail);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > BODY_BYTES_MAX) request.destroy(new Error('the answer is too long'));
        });
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          const { statusCode: status = 0, headers: answered } = response;
          resolve({ status, headers: answered, body: Buffer.concat(chunks).toString('utf8') });
        });
      });
      request.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
