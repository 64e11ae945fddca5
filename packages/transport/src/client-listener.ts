/**
 * Takes the connections of clients (`/client`) and hands their requests and watches to the replica. It owns the bounds
 * over all connections together; those of one are in client-connection.ts.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  CLIENT_FRAME_BYTES_MAX,
  encodeWelcome,
  type Request,
  WATCHES_PER_CONNECTION_MAX,
  type WatchRequest,
  type Welcome,
} from '@kvd/protocol';
import type { ReplySink, Trace, WatchSink } from '@kvd/replica';
import { WebSocketServer } from 'ws';
import {
  ClientConnection,
  type ClientConnectionHost,
  type ClientConnectionLimits,
} from './client-connection.js';
import { ConnectionWatch, type WatchLimits } from './connection-watch.js';
import { LogLimiter } from './log-limiter.js';
import { CLOSE, refuseUpgrade, serverOptions } from './ws-conventions.js';

export interface ClientListenerLimits extends ClientConnectionLimits, WatchLimits {
  /** Connections at once; one more is refused with HTTP status 503. */
  readonly connectionsMax: number;
  /** Bytes of unanswered requests, over all connections. */
  readonly allRequestBytesMax: number;
  /** A line that would repeat itself is logged once in so long. */
  readonly logIntervalMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_CLIENT_LISTENER_LIMITS: ClientListenerLimits = {
  connectionsMax: 10_000,
  handshakeMs: 5_000,
  requestsMax: 16_384,
  requestBytesMax: 64 * MIB,
  watchesMax: WATCHES_PER_CONNECTION_MAX,
  allRequestBytesMax: 256 * MIB,
  bufferedSoftBytes: 4 * MIB,
  bufferedHardBytes: 64 * MIB,
  tickMs: 1_000,
  pingAfterMs: 15_000,
  silentMaxMs: 45_000,
  unfinishedBytesMax: 256 * MIB,
  logIntervalMs: 1_000,
};

/** Whom the requests go to. */
export interface ClientRequestHandler {
  /** To be answered by sink.reply, once. Byte arrays are views on the message: what is kept long should be copied. */
  onRequest(sink: ReplySink, requestId: number, request: Request): void;
  /**
   * To be told by sink.tell, until it is told `ended` or given up. A sink has an id once at a time. Byte arrays are views
   * on the message.
   */
  onWatch(sink: WatchSink, watchId: number, request: WatchRequest): void;
  /** Given up: nothing more is to be told of it. */
  onUnwatch(sink: WatchSink, watchId: number): void;
  /** The client is gone: nothing that it waits for or watches is of use any more. */
  onClosed(sink: ReplySink & WatchSink): void;
}

export interface ClientListenerOptions {
  readonly handler: ClientRequestHandler;
  /** What the replica knows of itself and the cluster, as of now. */
  readonly welcome: () => Welcome;
  readonly trace: Trace;
  readonly limits?: Partial<ClientListenerLimits>;
}

export interface ClientListenerStats {
  readonly connections: number;
  readonly unansweredRequests: number;
  readonly unansweredBytes: number;
  readonly bufferedBytes: number;
  readonly watches: number;
  /** Since the start. */
  readonly accepted: number;
  readonly refused: number;
}

export class ClientListener {
  private readonly limits: ClientListenerLimits;
  private readonly server = new WebSocketServer(serverOptions(CLIENT_FRAME_BYTES_MAX));
  private readonly connections = new Set<ClientConnection>();
  private readonly watch: ConnectionWatch;
  private readonly logLimiter: LogLimiter;
  private readonly host: ClientConnectionHost;
  private requestBytes = 0;
  private accepted = 0;
  private refused = 0;
  private closed = false;

  constructor(private readonly options: ClientListenerOptions) {
    this.limits = { ...DEFAULT_CLIENT_LISTENER_LIMITS, ...options.limits };
    this.watch = new ConnectionWatch(this.limits);
    this.logLimiter = new LogLimiter(this.limits.logIntervalMs);
    this.host = this.createHost();
  }

  /** Take over an upgrade request that the HTTP server got for /client. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = this.closed
      ? 'stopping'
      : this.connections.size >= this.limits.connectionsMax
        ? 'full'
        : null;
    if (refusal !== null) {
      this.refused += 1;
      const { connectionsMax } = this.limits;
      this.log('warn', 'client-refused', {
        reason: refusal,
        connections: this.connections.size,
        connectionsMax,
      });
      refuseUpgrade(socket, refusal === 'full' ? 'too many connections' : 'stopping');
      return;
    }
    const remoteAddress = `${request.socket.remoteAddress ?? ''}:${request.socket.remotePort ?? 0}`;
    this.server.handleUpgrade(request, socket, head, (ws) => {
      this.accepted += 1;
      this.connections.add(new ClientConnection(this.host, ws, socket, remoteAddress));
    });
  }

  /** Tell all clients what changed: leader or members. */
  broadcastWelcome(): void {
    const bytes = encodeWelcome(this.options.welcome());
    for (const connection of this.connections) connection.sendWelcome(bytes);
  }

  stats(): ClientListenerStats {
    let unansweredRequests = 0;
    let bufferedBytes = 0;
    let watches = 0;
    for (const connection of this.connections) {
      unansweredRequests += connection.unansweredRequests;
      bufferedBytes += connection.bufferedBytes;
      watches += connection.openWatches;
    }
    return {
      connections: this.connections.size,
      unansweredRequests,
      unansweredBytes: this.requestBytes,
      bufferedBytes,
      watches,
      accepted: this.accepted,
      refused: this.refused,
    };
  }

  /** Send what waits, close all connections, take no more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const connection of this.connections) connection.end(CLOSE.stopping, 'stopping');
    this.watch.close();
    this.server.close();
  }

  private createHost(): ClientConnectionHost {
    const { handler, welcome } = this.options;
    return {
      limits: this.limits,
      watch: this.watch,
      welcome,
      admit: (bytes) => {
        if (this.requestBytes + bytes > this.limits.allRequestBytesMax) return false;
        this.requestBytes += bytes;
        return true;
      },
      release: (bytes) => {
        this.requestBytes -= bytes;
      },
      onRequest: (connection, requestId, request) => handler.onRequest(connection, requestId, request),
      onWatch: (connection, watchId, request) => handler.onWatch(connection, watchId, request),
      onUnwatch: (connection, watchId) => handler.onUnwatch(connection, watchId),
      onClosed: (connection) => {
        this.connections.delete(connection);
        handler.onClosed(connection);
      },
      log: (level, event, { name, remoteAddress }, reason) => {
        this.log(level, event, { client: name, remoteAddress, reason });
      },
    };
  }

  private log(level: 'debug' | 'warn', event: string, fields: Readonly<Record<string, unknown>>): void {
    if (level === 'debug') {
      this.options.trace.event(level, event, fields);
      return;
    }
    const suppressed = this.logLimiter.pass(event);
    if (suppressed !== null) this.options.trace.event(level, event, { ...fields, suppressed });
  }
}
