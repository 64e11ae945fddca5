/**
 * A client's connection to one replica: handshake, requests and watches out, responses and events in. What is sent in one
 * turn leaves as one ws message. It neither reconnects nor retries, and remembers no request: @kvd/client does.
 */
import type { Duplex } from 'node:stream';
import {
  CLIENT_FRAME_BYTES_MAX,
  type ClientHello,
  decodeServerFrame,
  encodeClientHello,
  encodeRequest,
  encodeUnwatch,
  encodeWatch,
  KvdError,
  PROTOCOL_VERSION,
  type Request,
  type Response,
  type ServerFrameHandler,
  type WatchMessage,
  type WatchRequest,
  type Welcome,
} from '@kvd/protocol';
import { WebSocket } from 'ws';
import { ConnectionWatch, type Watched, type WatchLimits } from './connection-watch.js';
import { FrameCoalescer } from './frame-coalescer.js';
import { asBytes, CLOSE, clientOptions } from './ws-conventions.js';

export interface ClientSocketOptions {
  /** Empty or left out: any cluster. Another one is refused. */
  readonly clusterId?: string;
  /** For the replica's logs. */
  readonly name: string;
  /** From dialling to the welcome. */
  readonly handshakeTimeoutMs: number;
}

export interface ClientSocketEvents {
  /** The first one ends the handshake; again whenever leader or members change. */
  onWelcome(welcome: Welcome): void;
  onResponse(requestId: number, response: Response): void;
  /** Also of a watch that was given up, until the replica knows of it. The byte arrays are views on the message. */
  onWatchMessage(watchId: number, message: WatchMessage): void;
  /**
   * Once, and nothing after it: the connection could not be made, or ended. Never before the constructor returned, and
   * not after close(). KVD_UNAVAILABLE, KVD_PROTOCOL_VERSION, KVD_WRONG_CLUSTER, KVD_OVERLOADED or KVD_BAD_FRAME.
   */
  onClosed(error: KvdError): void;
}

const WATCH: WatchLimits = {
  tickMs: 5_000,
  pingAfterMs: 10_000,
  silentMaxMs: 30_000,
  unfinishedBytesMax: Number.POSITIVE_INFINITY,
};

export class ClientSocket {
  private readonly coalescer = new FrameCoalescer(CLIENT_FRAME_BYTES_MAX, (frame) => this.sendFrame(frame));
  private readonly life = new ConnectionWatch(WATCH);
  private readonly frameHandler: ServerFrameHandler;
  private readonly deadline: NodeJS.Timeout;
  private readonly ws: WebSocket | null;
  private watched: Watched | null = null;
  private welcomed = false;
  private closed = false;

  /** Dials at once. `address`: HOST:PORT. */
  constructor(
    private readonly address: string,
    private readonly options: ClientSocketOptions,
    private readonly events: ClientSocketEvents,
  ) {
    this.frameHandler = {
      onWelcome: (welcome) => this.onWelcome(welcome),
      onResponse: (requestId, response) => this.onResponse(requestId, response),
      onWatchMessage: (watchId, message) => {
        if (!this.closed) this.events.onWatchMessage(watchId, message);
      },
    };
    this.deadline = setTimeout(
      () => this.fail(unavailable(`${address} did not answer in ${options.handshakeTimeoutMs} ms`)),
      options.handshakeTimeoutMs,
    );
    this.ws = this.dial();
  }

  /** Bytes that were sent and have not left this process yet. */
  get bufferedAmount(): number {
    return (this.ws?.bufferedAmount ?? 0) + this.coalescer.pendingBytes;
  }

  /**
   * Send a request once the connection stands; before the welcome and after the end it is dropped. `requestId`: from 1
   * on, the caller's choice, not in use.
   */
  send(requestId: number, request: Request): void {
    if (this.welcomed && !this.closed) this.coalescer.push(encodeRequest(requestId, request));
  }

  /** Ask to be told; dropped like a request. `watchId`: from 1 on, the caller's choice, not in use. */
  watch(watchId: number, request: WatchRequest): void {
    if (this.welcomed && !this.closed) this.coalescer.push(encodeWatch(watchId, request));
  }

  unwatch(watchId: number): void {
    if (this.welcomed && !this.closed) this.coalescer.push(encodeUnwatch(watchId));
  }

  /** Send what waits and end the connection. No event comes after it. */
  close(): void {
    if (this.closed) return;
    this.coalescer.flush();
    this.release();
    this.ws?.close();
  }

  private dial(): WebSocket | null {
    let ws: WebSocket;
    try {
      ws = new WebSocket(`ws://${this.address}/client`, clientOptions(CLIENT_FRAME_BYTES_MAX));
    } catch (error) {
      const message = `${this.address} is no address: ${String(error)}`;
      setImmediate(() => this.fail(new KvdError('KVD_BAD_REQUEST', message)));
      return null;
    }
    let socket: Duplex | null = null;
    ws.on('upgrade', (response) => {
      socket = response.socket;
    });
    ws.on('open', () => {
      if (this.closed || socket === null) return;
      this.watched = this.life.watch(ws, socket, (reason) =>
        this.fail(unavailable(`${this.address}: ${reason}`)),
      );
      const { clusterId = '', name } = this.options;
      const hello: ClientHello = { type: 'client-hello', protocolVersion: PROTOCOL_VERSION, clusterId, name };
      ws.send(encodeClientHello(hello));
    });
    ws.on('message', (data, isBinary) => this.onMessage(asBytes(data), isBinary));
    ws.on('unexpected-response', (request, response) => {
      request.destroy();
      const message = `${this.address} answered ${response.statusCode ?? 0} ${response.statusMessage ?? ''}`;
      this.fail(response.statusCode === 503 ? new KvdError('KVD_OVERLOADED', message) : unavailable(message));
    });
    ws.on('error', (error) => this.fail(unavailable(`${this.address}: ${error.message}`)));
    ws.on('close', (code, reason) => {
      this.fail(unavailable(`${this.address} closed the connection (${code} ${reason.toString()})`));
    });
    return ws;
  }

  private onMessage(bytes: Uint8Array, isBinary: boolean): void {
    if (this.closed) return;
    this.watched?.heard();
    try {
      if (!isBinary) throw new KvdError('KVD_BAD_FRAME', 'a text message');
      decodeServerFrame(bytes, this.frameHandler);
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      this.fail(new KvdError(error.code, `${this.address}: ${error.message}`), CLOSE.badFrame);
    }
  }

  private onWelcome(welcome: Welcome): void {
    if (this.closed) return;
    const { clusterId = '' } = this.options;
    if (clusterId !== '' && welcome.clusterId !== '' && welcome.clusterId !== clusterId) {
      const message = `${this.address} belongs to cluster ${welcome.clusterId}, not ${clusterId}`;
      this.fail(new KvdError('KVD_WRONG_CLUSTER', message), CLOSE.wrongCluster);
      return;
    }
    this.welcomed = true;
    clearTimeout(this.deadline);
    this.events.onWelcome(welcome);
  }

  private onResponse(requestId: number, response: Response): void {
    if (this.closed) return;
    if (requestId !== 0) this.events.onResponse(requestId, response);
    else if (response.type === 'error') {
      this.fail(new KvdError(response.code, `${this.address}: ${response.message}`, response.outcome));
    }
  }

  private sendFrame(frame: Uint8Array): void {
    this.ws?.send(frame);
  }

  private fail(error: KvdError, code?: number): void {
    if (this.closed) return;
    this.release();
    if (code === undefined) this.ws?.terminate();
    else this.ws?.close(code);
    this.events.onClosed(error);
  }

  private release(): void {
    this.closed = true;
    clearTimeout(this.deadline);
    this.coalescer.clear();
    this.life.close();
  }
}

function unavailable(message: string): KvdError {
  return new KvdError('KVD_UNAVAILABLE', message);
}
