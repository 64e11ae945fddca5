/**
 * The one port of a replica: plain node:http with a bound on everything a client can hold on to, and the hand-over of
 * WebSocket upgrades at /peer and /client to whoever owns them. Which path means what is http/router.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { KvdError } from '@kvd/protocol';
import type { HostPort } from './addresses.js';
import { answerTo, errorAnswer, sendAnswer } from './http/respond.js';
import { Gate } from './http/gate.js';
import { allOver, Exchange, Line } from './http/line.js';
import { type HttpTargets, route } from './http/router.js';

export interface HttpLimits {
  /** Sockets at once, WebSockets included. */
  readonly connections: number;
  /** HTTP requests being worked on at once; beyond: 429. */
  readonly requests: number;
  /** Of them scans and histories, each of which holds a page of some MB until it is read; the others wait, then 429. */
  readonly listings: number;
  readonly listingWaitMs: number;
  /** From the first byte to the end of the headers. */
  readonly headersMs: number;
  /** From the first byte to the end of the body. */
  readonly requestMs: number;
  /** A kept-alive connection without a request. */
  readonly idleMs: number;
  /** How often the two deadlines above are checked. */
  readonly checkMs: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  connections: 8_192,
  requests: 1_024,
  listings: 64,
  listingWaitMs: 10_000,
  headersMs: 10_000,
  requestMs: 60_000,
  idleMs: 60_000,
  checkMs: 1_000,
};

/** Refused connections between two lines of the log. */
const DROPS_PER_LINE = 1_000;
/** The longest key is 12 KiB percent-encoded, and a scan may name three. */
const HEADER_BYTES_MAX = 48 * 1024;

/** Asked by whoever looks after the process: answered whatever else there is to do. */
const ALWAYS = new Set(['/livez', '/readyz', '/metrics']);
/** Answers of many entries. */
const LISTINGS = new Set(['/v1/kv', '/v1/history']);
/** Of a request that offers another protocol: what to leave out where it is not taken up. */
const OFFER = new Set(['connection', 'http2-settings', 'upgrade']);

/** Takes over the socket of an upgrade. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface HttpServerPorts {
  readonly targets: HttpTargets;
  /** By path: `/peer`, `/client`. */
  readonly upgrades: ReadonlyMap<string, UpgradeHandler>;
  readonly log: (
    level: 'debug' | 'warn' | 'error',
    event: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
}

export class HttpServer {
  readonly #server: Server;
  readonly #ports: HttpServerPorts;
  readonly #limits: HttpLimits;
  /** Connections that still speak HTTP, and the requests of each that are not answered. */
  readonly #sockets = new Map<Socket, Line>();
  readonly #listings: Gate;
  #active = 0;
  #dropped = 0;

  constructor(ports: HttpServerPorts, limits: HttpLimits = DEFAULT_HTTP_LIMITS) {
    this.#ports = ports;
    this.#limits = limits;
    this.#listings = new Gate(limits.listings, limits.listingWaitMs);
    this.#server = createServer({
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.checkMs,
      noDelay: true,
    });
    this.#server.maxConnections = limits.connections;
    this.#server.on('connection', (socket: Socket) => this.#onConnection(socket));
    this.#server.on('drop', () => this.#onDrop());
    this.#server.on('request', (request, response) => void this.#handle(request, response, false));
    this.#server.on('checkContinue', (request, response) => void this.#handle(request, response, true));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('clientError', (error, socket) => this.#refuseBadHttp(error, socket as Socket));
  }

  /** HTTP requests being worked on. */
  get activeRequests(): number {
    return this.#active;
  }

  /** Resolves when connections are taken; rejects with node's error (EADDRINUSE, …). */
  listen({ host, port }: HostPort): Promise<HostPort> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 1_024 }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => {
          this.#ports.log('error', 'server-socket-failed', { reason: error.message });
        });
        const bound = this.#server.address();
        resolve({ host, port: typeof bound === 'object' && bound !== null ? bound.port : port });
      });
    });
  }

  /** Take no more connections, let answers under way leave for `graceMs`, then cut what is left. */
  close(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        for (const socket of this.#sockets.keys()) socket.destroy();
      }, graceMs);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#server.closeIdleConnections();
      if (this.#active === 0) for (const socket of this.#sockets.keys()) socket.destroy();
    });
  }

  #onConnection(socket: Socket): void {
    // One that is read once more is known already.
    if (this.#sockets.has(socket)) return;
    const line = new Line();
    this.#sockets.set(socket, line);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      line.end();
    });
  }

  /**
   * Bytes that are no HTTP, headers that are too long or too slow. Where a whole request before them is not answered yet,
   * nothing is said: the client would take it for the answer to that one, which may be done.
   */
  #refuseBadHttp(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable || this.#sockets.get(socket)?.owesAnswer) {
      socket.destroy();
      return;
    }
    endRaw(socket, REFUSALS.get(error.code ?? '') ?? NO_HTTP);
  }

  /** Said once in a while: whoever opens too many connections does not stop at one more. */
  #onDrop(): void {
    this.#dropped += 1;
    if (this.#dropped % DROPS_PER_LINE !== 1) return;
    const { connections } = this.#limits;
    this.#ports.log('warn', 'connections-refused', { refused: this.#dropped, connections });
  }

  async #handle(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const exchange = new Exchange(request, response);
    this.#active += 1;
    exchange.whenOver(() => {
      this.#active -= 1;
    });
    response.once('close', () => exchange.end());
    const earlier = this.#sockets.get(request.socket)?.join(exchange) ?? [];
    try {
      if (this.#active > this.#limits.requests && !ALWAYS.has(pathOf(request))) {
        throw new KvdError('KVD_OVERLOADED', `more than ${this.#limits.requests} requests at once`);
      }
      if (earlier.length > 0) await allOver(earlier);
      if (exchange.isRead && LISTINGS.has(pathOf(request))) await this.#listings.enter(exchange);
      // Gone while it waited: nothing is begun for nobody.
      if (request.socket.destroyed) return;
      await route(this.#ports.targets, { request, response, expectsContinue });
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const known = error instanceof KvdError;
    const reason = error instanceof Error ? error.message : String(error);
    const stack = !known && error instanceof Error ? { stack: error.stack } : {};
    this.#ports.log(known ? 'debug' : 'error', 'http-request-failed', {
      method: request.method,
      reason,
      ...stack,
    });
    sendAnswer(request, response, answerTo(error));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const line = this.#sockets.get(request.socket);
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      void allOver([...(line?.exchanges ?? [])]).then(() => this.#withoutUpgrade(request, socket, head));
      return;
    }
    // As what follows a write and is no HTTP: the refusal, or the other protocol, would be taken for the answer to the write.
    if (line?.owesAnswer) {
      socket.destroy();
      return;
    }
    const handler = this.#ports.upgrades.get(pathOf(request));
    if (handler === undefined) {
      socket.on('error', () => socket.destroy());
      endRaw(socket, [404, 'Not Found', 'KVD_NOT_FOUND', 'WebSockets are served at /client']);
      return;
    }
    this.#sockets.delete(request.socket);
    handler(request, socket, head);
  }

  /**
   * An offer of another protocol (HTTP/2, as some clients make with every request) need not be taken up: the request is read
   * once more, without it, when those before it are answered. (RFC 9110, 7.8)
   */
  #withoutUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (socket.destroyed) return;
    const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
    const { rawHeaders } = request;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      if (!OFFER.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[i + 1]}`);
    }
    if (/\bclose\b/i.test(request.headers.connection ?? '')) lines.push('Connection: close');
    socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
    this.#server.emit('connection', socket);
  }
}

function pathOf({ url = '' }: IncomingMessage): string {
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}

type Refusal = readonly [
  status: number,
  phrase: string,
  code: 'KVD_BAD_REQUEST' | 'KVD_TOO_LARGE' | 'KVD_NOT_FOUND',
  message: string,
];

const NO_HTTP: Refusal = [400, 'Bad Request', 'KVD_BAD_REQUEST', 'this is no HTTP request'];
/** By the code of node's error. */
const REFUSALS = new Map<string, Refusal>([
  [
    'HPE_INVALID_URL',
    [400, 'Bad Request', 'KVD_BAD_REQUEST', 'bytes of a key that are not ASCII are percent-encoded'],
  ],
  [
    'HPE_HEADER_OVERFLOW',
    [431, 'Request Header Fields Too Large', 'KVD_TOO_LARGE', 'path and headers are too long'],
  ],
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    [408, 'Request Timeout', 'KVD_BAD_REQUEST', 'the request took too long to arrive'],
  ],
]);

function endRaw(socket: Duplex, [status, phrase, code, message]: Refusal): void {
  const body = String(errorAnswer(code, message).body);
  const head = [`HTTP/1.1 ${status} ${phrase}`, 'Content-Type: application/json'];
  socket.end(
    [...head, `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close', '', body].join('\r\n'),
  );
  setTimeout(() => socket.destroy(), 1_000).unref();
}
