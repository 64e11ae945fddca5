/**
 * One connection to one replica: what was sent on it and is not answered, and whether the replica at its end is alive.
 * Where links come from and which of them is used is connector.ts.
 */
import type { KvdError, Request, Response, WatchMessage, WatchRequest, Welcome } from '@kvd/protocol';
import type { Operation } from './operation.js';

/** What is needed of a socket to a replica. */
export interface Socket {
  /** Hand over a request; throws when it can never be sent. */
  send(requestId: number, request: Request): void;
  watch(watchId: number, request: WatchRequest): void;
  unwatch(watchId: number): void;
  close(): void;
}

export interface SocketEvents {
  onWelcome(welcome: Welcome): void;
  onResponse(requestId: number, response: Response): void;
  /** The byte arrays are views on the message. */
  onWatchMessage(watchId: number, message: WatchMessage): void;
  /** Once, and nothing after it: the connection could not be made, or ended. */
  onClosed(error: KvdError): void;
}

export interface SocketOptions {
  /** Empty: any cluster. */
  readonly clusterId: string;
  readonly name: string;
  readonly handshakeTimeoutMs: number;
}

/** Who is told what a watch brings. */
export interface WatchTarget {
  onMessage(message: WatchMessage): void;
}

export type OpenSocket = (address: string, options: SocketOptions, events: SocketEvents) => Socket;

/** A replica that said nothing for so long, with requests unanswered, is asked whether it is alive … */
const SILENT_MS = 500;
/** … and is taken for dead when it does not answer that for so long. */
const PING_MS = 1_000;
/** The same for one that only watches wait for: three of the marks that an idle watch is told have not come. */
const WATCH_SILENT_MS = 15_000;
/** The key that a ping reads (stale, so that a replica without a quorum answers too); it need not exist. */
const PING_KEY = new Uint8Array([0]);

export class Link {
  readonly outstanding = new Map<number, Operation>();
  readonly watches = new Map<number, WatchTarget>();
  welcome: Welcome | null = null;
  /** Anything heard. */
  private heardMs: number;
  /** The last answer that was of use, or the start of waiting for one. */
  usefulMs: number;
  private ping: { readonly id: number; readonly sentMs: number } | null = null;
  private socket: Socket | null = null;

  constructor(
    readonly address: string,
    /** Why it was opened. */
    readonly purpose: 'any' | 'leader' | 'rotate',
    readonly openedMs: number,
  ) {
    this.heardMs = openedMs;
    this.usefulMs = openedMs;
  }

  attach(socket: Socket): void {
    this.socket = socket;
  }

  get leads(): boolean {
    return this.welcome !== null && this.welcome.leaderId === this.welcome.replicaId;
  }

  send(operation: Operation, nowMs: number): void {
    if (this.outstanding.size === 0) {
      this.heardMs = nowMs;
      this.usefulMs = nowMs;
    }
    this.outstanding.set(operation.requestId, operation);
    operation.outstanding++;
    this.socket?.send(operation.requestId, operation.request(nowMs));
  }

  watch(watchId: number, request: WatchRequest, target: WatchTarget): void {
    this.watches.set(watchId, target);
    this.socket?.watch(watchId, request);
  }

  unwatch(watchId: number): void {
    if (this.watches.delete(watchId)) this.socket?.unwatch(watchId);
  }

  /** Whom a message is for; undefined when the watch was given up. */
  takeWatchMessage(watchId: number, nowMs: number): WatchTarget | undefined {
    this.heardMs = nowMs;
    return this.watches.get(watchId);
  }

  /** Has nothing been heard for so long that it should be asked whether it is alive? */
  isSilent(nowMs: number): boolean {
    return this.ping !== null || nowMs - this.heardMs >= this.silenceMs;
  }

  /** The operation that an answer is for, no longer outstanding here; undefined when nobody waits for it. */
  take(requestId: number, nowMs: number): Operation | undefined {
    this.heardMs = nowMs;
    if (this.ping?.id === requestId) {
      this.ping = null;
      return undefined;
    }
    const operation = this.outstanding.get(requestId);
    if (operation === undefined) return undefined;
    this.outstanding.delete(requestId);
    operation.outstanding--;
    return operation;
  }

  /** Nobody waits for it any more. */
  forget(operation: Operation): void {
    if (this.outstanding.delete(operation.requestId)) operation.outstanding--;
  }

  /** Ask for a sign of life where one is due; false: there was none, the replica is taken for dead. */
  checkLife(nowMs: number, nextRequestId: () => number): boolean {
    const { silenceMs } = this;
    if (silenceMs === Number.POSITIVE_INFINITY) {
      this.ping = null;
      return true;
    }
    if (this.ping !== null) return this.heardMs >= this.ping.sentMs || nowMs - this.ping.sentMs < PING_MS;
    if (nowMs - this.heardMs < silenceMs) return true;
    this.ping = { id: nextRequestId(), sentMs: nowMs };
    const ping = {
      type: 'get',
      timeoutMs: PING_MS,
      consistency: 'stale',
      key: PING_KEY,
      revision: 0,
    } as const;
    this.socket?.send(this.ping.id, ping);
    return true;
  }

  /** This process itself was held up: silence says nothing about the replica. */
  excuse(nowMs: number): void {
    this.heardMs = nowMs;
    this.ping = null;
  }

  close(): void {
    this.socket?.close();
  }

  /** How long it may say nothing; for ever when nobody waits for anything. */
  private get silenceMs(): number {
    if (this.welcome === null) return Number.POSITIVE_INFINITY;
    if (this.outstanding.size > 0) return SILENT_MS;
    return this.watches.size > 0 ? WATCH_SILENT_MS : Number.POSITIVE_INFINITY;
  }
}
