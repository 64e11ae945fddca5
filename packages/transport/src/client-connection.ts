/**
 * One client's connection, on the replica's side: handshake, requests and watches in, answers and events out, and the
 * bounds on all of it. It is the ReplySink of its requests and the WatchSink of its watches.
 *
 * A client that asks faster than it reads meets these bounds, in this order: above `bufferedSoftBytes` of unread answers
 * nothing more is read from it; above `bufferedHardBytes` what it asked to read is answered KVD_OVERLOADED (the results
 * of mutations are small, and always sent); above twice that, or when it takes nothing for a while, it is cut. Events of
 * watches stop long before, for who tells them looks at bufferedBytes.
 */
import type { Duplex } from 'node:stream';
import {
  CLIENT_FRAME_BYTES_MAX,
  type ClientFrameHandler,
  type ClientHello,
  decodeClientFrame,
  encodeResponse,
  encodeWatchMessage,
  encodeWelcome,
  ERRORS,
  type ErrorCode,
  KvdError,
  type Request,
  type Response,
  type WatchMessage,
  type WatchRequest,
  type Welcome,
} from '@kvd/protocol';
import type { ReplySink, WatchSink } from '@kvd/replica';
import { WebSocket } from 'ws';
import type { ConnectionWatch, Watched } from './connection-watch.js';
import { FrameCoalescer } from './frame-coalescer.js';
import { asBytes, CLOSE, type CloseCode, closeReason } from './ws-conventions.js';

export interface ClientConnectionLimits {
  /** From the upgrade to the hello. */
  readonly handshakeMs: number;
  /** Unanswered requests of a connection, and their bytes; one more is answered KVD_OVERLOADED. */
  readonly requestsMax: number;
  readonly requestBytesMax: number;
  /** Watches of a connection; one more is ended with KVD_OVERLOADED. */
  readonly watchesMax: number;
  readonly bufferedSoftBytes: number;
  readonly bufferedHardBytes: number;
}

/** What a connection needs of the listener it belongs to. */
export interface ClientConnectionHost {
  readonly limits: ClientConnectionLimits;
  readonly watch: ConnectionWatch;
  welcome(): Welcome;
  /** Room for so many bytes of requests among all connections? */
  admit(bytes: number): boolean;
  release(bytes: number): void;
  onRequest(connection: ClientConnection, requestId: number, request: Request): void;
  onWatch(connection: ClientConnection, watchId: number, request: WatchRequest): void;
  onUnwatch(connection: ClientConnection, watchId: number): void;
  onClosed(connection: ClientConnection): void;
  log(level: 'debug' | 'warn', event: string, connection: ClientConnection, reason: string): void;
}

export class ClientConnection implements ReplySink, WatchSink, ClientFrameHandler {
  /** As the client named itself; empty before its hello. */
  name = '';
  /** doomed: to be cut when this turn is over. */
  private phase: 'handshake' | 'open' | 'doomed' | 'closed' = 'handshake';
  private readonly coalescer = new FrameCoalescer(CLIENT_FRAME_BYTES_MAX, (frame) => this.sendFrame(frame));
  private readonly watched: Watched;
  private readonly deadline: NodeJS.Timeout;
  /** Request id to bytes held, of what is not answered yet. */
  private readonly unanswered = new Map<number, number>();
  private unansweredBytes = 0;
  private readonly watches = new Set<number>();

  constructor(
    private readonly host: ClientConnectionHost,
    private readonly ws: WebSocket,
    socket: Duplex,
    readonly remoteAddress: string,
  ) {
    this.watched = host.watch.watch(ws, socket, (reason) => this.terminate(reason));
    this.deadline = setTimeout(() => {
      this.end(CLOSE.handshakeTimeout, 'no hello in time');
    }, host.limits.handshakeMs);
    ws.on('message', (data, isBinary) => this.onMessage(asBytes(data), isBinary));
    ws.on('error', (error) => this.broken(error.message));
    ws.on('close', () => this.closed('closed'));
  }

  get unansweredRequests(): number {
    return this.unanswered.size;
  }

  get openWatches(): number {
    return this.watches.size;
  }

  /** Answers and events that the client has not taken yet. */
  get bufferedBytes(): number {
    return this.ws.bufferedAmount + this.coalescer.pendingBytes;
  }

  /** Answer a request; the first answer counts, and none is sent once the connection is gone. */
  reply(requestId: number, response: Response): void {
    const bytes = this.unanswered.get(requestId);
    if (bytes === undefined) return;
    this.unanswered.delete(requestId);
    this.unansweredBytes -= bytes;
    this.host.release(bytes);
    this.answer(requestId, response);
  }

  /** Tell a watcher; nothing more of a watch that has ended or was given up. */
  tell(watchId: number, message: WatchMessage): void {
    if (!this.watches.has(watchId)) return;
    if (message.type === 'ended') this.watches.delete(watchId);
    if (this.hasRoom()) this.coalescer.push(encodeWatchMessage(watchId, message));
  }

  sendWelcome(bytes: Uint8Array): void {
    if (this.phase === 'open') this.coalescer.push(bytes);
  }

  onHello(hello: ClientHello): void {
    if (this.isOver()) return;
    if (this.phase === 'open') throw new KvdError('KVD_BAD_FRAME', 'a second hello');
    const welcome = this.host.welcome();
    if (hello.clusterId !== '' && welcome.clusterId !== '' && hello.clusterId !== welcome.clusterId) {
      throw new KvdError('KVD_WRONG_CLUSTER', `this is cluster ${welcome.clusterId}, not ${hello.clusterId}`);
    }
    this.name = hello.name;
    this.phase = 'open';
    clearTimeout(this.deadline);
    this.sendWelcome(encodeWelcome(welcome));
  }

  onRequest(requestId: number, request: Request): void {
    if (this.isOver()) return;
    if (this.phase === 'handshake') throw new KvdError('KVD_BAD_FRAME', 'a request before the hello');
    if (this.unanswered.has(requestId))
      throw new KvdError('KVD_BAD_FRAME', `request id ${requestId} is in use`);
    const bytes = request.type === 'mutate' ? request.command.length : 0;
    const refusal = this.overload(bytes);
    if (refusal !== null) {
      this.answer(requestId, errorResponse('KVD_OVERLOADED', refusal));
      return;
    }
    this.unanswered.set(requestId, bytes);
    this.unansweredBytes += bytes;
    this.host.onRequest(this, requestId, request);
  }

  onInvalidRequest(requestId: number, error: KvdError): void {
    if (this.isOver()) return;
    if (this.phase === 'handshake') throw new KvdError('KVD_BAD_FRAME', 'a request before the hello');
    this.answer(requestId, errorResponse(error.code, error.message));
  }

  onInvalidWatch(watchId: number, { code, message }: KvdError): void {
    if (this.isOver()) return;
    this.beginWatch(watchId);
    this.tell(watchId, { type: 'ended', code, message, resumeRevision: 0 });
  }

  onWatch(watchId: number, request: WatchRequest): void {
    if (this.isOver()) return;
    const { watchesMax } = this.host.limits;
    const isFull = this.watches.size >= watchesMax;
    this.beginWatch(watchId);
    if (!isFull) {
      this.host.onWatch(this, watchId, request);
      return;
    }
    const message = `${watchesMax} watches are open on this connection`;
    const { fromRevision: resumeRevision } = request;
    this.tell(watchId, { type: 'ended', code: 'KVD_OVERLOADED', message, resumeRevision });
  }

  private beginWatch(watchId: number): void {
    if (this.phase === 'handshake') throw new KvdError('KVD_BAD_FRAME', 'a watch before the hello');
    if (this.watches.has(watchId)) throw new KvdError('KVD_BAD_FRAME', `watch id ${watchId} is in use`);
    this.watches.add(watchId);
  }

  onUnwatch(watchId: number): void {
    if (this.isOver()) return;
    if (this.phase === 'handshake') throw new KvdError('KVD_BAD_FRAME', 'an unwatch before the hello');
    // It may have ended while this was under way.
    if (this.watches.delete(watchId)) this.host.onUnwatch(this, watchId);
  }

  /** Say why (with a code that programs know), then close. */
  refuse(error: KvdError): void {
    if (this.phase === 'closed') return;
    this.coalescer.push(encodeResponse(0, errorResponse(error.code, error.message)));
    this.host.log('warn', 'client-refused', this, `${error.code}: ${error.message}`);
    this.end(closeCodeOf(error.code), error.message);
  }

  /** Send what waits, then close. */
  end(code: CloseCode, reason: string): void {
    if (this.phase === 'closed') return;
    this.coalescer.flush();
    this.ws.close(code, closeReason(reason));
    this.closed(reason);
  }

  private isOver(): boolean {
    return this.phase === 'doomed' || this.phase === 'closed';
  }

  private onMessage(bytes: Uint8Array, isBinary: boolean): void {
    if (this.isOver()) return;
    this.watched.heard();
    try {
      if (!isBinary) throw new KvdError('KVD_BAD_FRAME', 'a text message');
      decodeClientFrame(bytes, this);
    } catch (error) {
      if (!(error instanceof KvdError) || error.code === 'KVD_INTERNAL') throw error;
      this.refuse(error);
    }
    this.holdBack();
  }

  /** Why the request cannot be taken in, or null when it was admitted. */
  private overload(bytes: number): string | null {
    const { requestsMax, requestBytesMax } = this.host.limits;
    if (this.unanswered.size >= requestsMax)
      return `${requestsMax} requests of this connection are unanswered`;
    if (this.unansweredBytes + bytes > requestBytesMax)
      return 'too many bytes of this connection are unanswered';
    if (!this.host.admit(bytes)) return 'this replica holds too many bytes of unanswered requests';
    return null;
  }

  /** May anything be sent at all? A client that reads nothing of what it asked for is cut. */
  private hasRoom(): boolean {
    if (this.phase !== 'open') return false;
    const buffered = this.bufferedBytes;
    if (buffered <= 2 * this.host.limits.bufferedHardBytes) return true;
    // Not now: the replica, in the middle of answering, would be told that we are gone.
    this.phase = 'doomed';
    setImmediate(() => this.terminate(`${buffered} bytes of answers unread`));
    return false;
  }

  private answer(requestId: number, response: Response): void {
    if (!this.hasRoom()) return;
    const { bufferedHardBytes } = this.host.limits;
    const buffered = this.bufferedBytes;
    let bytes = encodeResponse(requestId, response);
    const isRead = response.type !== 'result' && response.type !== 'error';
    if (isRead && buffered + bytes.length > bufferedHardBytes) {
      const message = `${buffered} bytes of answers on this connection are unread`;
      bytes = encodeResponse(requestId, errorResponse('KVD_OVERLOADED', message));
    } else if (bytes.length > CLIENT_FRAME_BYTES_MAX) {
      const message = `the answer has ${bytes.length} bytes, at most ${CLIENT_FRAME_BYTES_MAX} can be sent`;
      bytes = encodeResponse(requestId, errorResponse('KVD_TOO_LARGE', message));
    }
    this.coalescer.push(bytes);
  }

  private sendFrame(frame: Uint8Array): void {
    if (this.ws.readyState !== WebSocket.OPEN) return;
    this.ws.send(frame, this.onSent);
    this.holdBack();
  }

  private readonly onSent = (): void => {
    if (this.ws.isPaused && this.bufferedBytes < this.host.limits.bufferedSoftBytes / 2) this.ws.resume();
  };

  private holdBack(): void {
    if (
      this.phase === 'open' &&
      !this.ws.isPaused &&
      this.bufferedBytes > this.host.limits.bufferedSoftBytes
    ) {
      this.ws.pause();
    }
  }

  private terminate(reason: string): void {
    if (this.phase === 'closed') return;
    this.host.log('warn', 'client-cut', this, reason);
    this.coalescer.clear();
    this.ws.terminate();
    this.closed(reason);
  }

  /** ws itself ends the connection, where the client can still be told (message too big, not masked) with a code. */
  private broken(reason: string): void {
    if (this.phase === 'closed') return;
    this.host.log('warn', 'client-broken', this, reason);
    this.closed(reason);
  }

  /** The end of it for the listener and the replica; the socket may take its time. */
  private closed(reason: string): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    clearTimeout(this.deadline);
    this.watched.unwatch();
    this.host.release(this.unansweredBytes);
    this.unanswered.clear();
    this.unansweredBytes = 0;
    this.watches.clear();
    // A paused socket would never see the other end's close frame.
    if (this.ws.isPaused) this.ws.resume();
    this.host.log('debug', 'client-closed', this, reason);
    this.host.onClosed(this);
  }
}

function errorResponse(code: ErrorCode, message: string): Response {
  return { type: 'error', code, message, outcome: ERRORS[code].outcome };
}

function closeCodeOf(code: ErrorCode): CloseCode {
  if (code === 'KVD_PROTOCOL_VERSION') return CLOSE.protocolVersion;
  if (code === 'KVD_WRONG_CLUSTER') return CLOSE.wrongCluster;
  return CLOSE.badFrame;
}
