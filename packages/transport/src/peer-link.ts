/**
 * The connection that this replica made to one peer, on which it sends. It dials, shakes hands, dials again after a
 * randomised and growing pause, and drops what it cannot send: the protocol takes lost messages, not growing queues.
 *
 * Why a connection for each direction: each side dials for what it sends, so there never are two connections to choose
 * from, and a link that is cut one way is one connection that is down, the other stays.
 */
import type { Duplex } from 'node:stream';
import type { Identity } from '@kvd/paxos';
import {
  decodePeerHello,
  encodePeerHello,
  KvdError,
  type PeerHello,
  PEER_FRAME_BYTES_MAX,
} from '@kvd/protocol';
import { WebSocket } from 'ws';
import type { ConnectionWatch, Watched } from './connection-watch.js';
import { FrameCoalescer } from './frame-coalescer.js';
import { checkPeerHello } from './peer-handshake.js';
import type { PeerLimits } from './peer-limits.js';
import { asBytes, CLOSE, type CloseCode, clientOptions, closeReason } from './ws-conventions.js';

/** What a link needs of the mesh it belongs to. */
export interface PeerLinkHost {
  readonly limits: PeerLimits;
  readonly watch: ConnectionWatch;
  readonly random: () => number;
  /** Our hello, as of now. */
  hello(): PeerHello;
  /** `about`: what makes two lines the same, for limiting them. */
  log(
    level: 'info' | 'warn' | 'error',
    event: string,
    about: string,
    fields: Readonly<Record<string, unknown>>,
  ): void;
}

type State =
  | { readonly phase: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly phase: 'dialling'; readonly ws: WebSocket; readonly deadline: NodeJS.Timeout }
  | {
      readonly phase: 'up';
      readonly ws: WebSocket;
      readonly peer: PeerHello;
      readonly stable: NodeJS.Timeout;
    }
  | { readonly phase: 'closed' };

export interface PeerLinkStats {
  readonly connected: boolean;
  /** ws messages, the items in them as they were handed over, and bytes. */
  readonly framesSent: number;
  readonly messagesSent: number;
  readonly bytesSent: number;
  /** Not sent because the link was down, or because too much was waiting. */
  readonly droppedDown: number;
  readonly droppedFull: number;
  readonly bufferedBytes: number;
}

export class PeerLink {
  private state: State;
  private readonly coalescer = new FrameCoalescer(PEER_FRAME_BYTES_MAX, (frame) => this.sendFrame(frame));
  private failures = 0;
  /** More was waiting than may: dropping until half of it is gone. */
  private full = false;
  private framesSent = 0;
  private messagesSent = 0;
  private bytesSent = 0;
  private droppedDown = 0;
  private droppedFull = 0;

  constructor(
    private readonly host: PeerLinkHost,
    private readonly peerId: number,
    readonly address: string,
  ) {
    this.state = this.dial();
  }

  /** False: dropped, and certainly never sent. */
  send(bytes: Uint8Array): boolean {
    if (this.state.phase !== 'up') {
      this.droppedDown += 1;
      return false;
    }
    if (this.isFull(bytes.length)) {
      this.droppedFull += 1;
      return false;
    }
    this.messagesSent += 1;
    this.coalescer.push(bytes);
    return true;
  }

  /** The peer has just dialled us: it is there, so a pause before the next attempt would be wasted. */
  peerCameIn(peer: Identity, address: string): void {
    const { state } = this;
    if (state.phase === 'waiting') {
      clearTimeout(state.timer);
      this.state = this.dial();
      return;
    }
    if (state.phase !== 'up' || state.peer.incarnation === peer.incarnation) return;
    // At our address it is the successor of what we are connected to. Elsewhere it is a second process of that id, and no
    // reason to leave the first.
    if (address === this.address) state.ws.terminate();
  }

  /** From now on we demand this cluster. */
  recheck(): void {
    if (this.state.phase !== 'up') return;
    const refusal = checkPeerHello(this.host.hello(), this.state.peer, this.peerId);
    if (refusal !== null) this.refuse(this.state.ws, refusal.code, refusal.reason);
  }

  stats(): PeerLinkStats {
    const { framesSent, messagesSent, bytesSent, droppedDown, droppedFull } = this;
    const connected = this.state.phase === 'up';
    const bufferedBytes = this.bufferedBytes();
    return { connected, framesSent, messagesSent, bytesSent, droppedDown, droppedFull, bufferedBytes };
  }

  /** Send what waits, then close for good. */
  close(): void {
    const state = this.state;
    if (state.phase === 'up') this.coalescer.flush();
    this.leave(state);
    this.state = { phase: 'closed' };
    if (state.phase === 'up' || state.phase === 'dialling') state.ws.close(CLOSE.stopping, 'stopping');
  }

  private dial(): State {
    const { limits } = this.host;
    let ws: WebSocket;
    try {
      ws = new WebSocket(`ws://${this.address}/peer`, clientOptions(PEER_FRAME_BYTES_MAX));
    } catch (error) {
      this.host.log('error', 'peer-address-invalid', this.address, {
        peer: this.peerId,
        reason: String(error),
      });
      return this.wait();
    }
    let socket: Duplex | null = null;
    let watched: Watched | null = null;
    ws.on('upgrade', (response) => {
      socket = response.socket;
    });
    ws.on('open', () => {
      if (!this.isCurrent(ws) || socket === null) return;
      watched = this.host.watch.watch(ws, socket, (reason) => {
        this.log('warn', 'peer-silent', reason);
        ws.terminate();
      });
      ws.send(encodePeerHello(this.host.hello()));
    });
    ws.on('message', (data) => {
      watched?.heard();
      this.onMessage(ws, asBytes(data));
    });
    ws.on('error', (error) => this.log('warn', 'peer-unreachable', error.message));
    ws.on('close', (code, reason) => {
      watched?.unwatch();
      this.onClose(ws, code, reason.toString());
    });
    const deadline = setTimeout(() => {
      this.log('warn', 'peer-unreachable', `no answer in ${limits.handshakeMs} ms`);
      ws.terminate();
    }, limits.handshakeMs);
    return { phase: 'dialling', ws, deadline };
  }

  private wait(): State {
    const { backoffMinMs, backoffMaxMs } = this.host.limits;
    const fullMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.failures, 16));
    this.failures += 1;
    const pauseMs = fullMs * (0.5 + this.host.random() / 2);
    return { phase: 'waiting', timer: setTimeout(() => (this.state = this.dial()), pauseMs) };
  }

  /** The one message that ever comes this way is the peer's hello. */
  private onMessage(ws: WebSocket, bytes: Uint8Array): void {
    const state = this.state;
    if (state.phase !== 'dialling' || state.ws !== ws) {
      if (this.isCurrent(ws))
        this.refuse(ws, CLOSE.badFrame, 'a message on a connection that is ours to send on');
      return;
    }
    let peer: PeerHello;
    try {
      peer = decodePeerHello(bytes);
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      const code = error.code === 'KVD_PROTOCOL_VERSION' ? CLOSE.protocolVersion : CLOSE.badFrame;
      this.refuse(ws, code, error.message);
      return;
    }
    const refusal = checkPeerHello(this.host.hello(), peer, this.peerId);
    if (refusal !== null) {
      this.refuse(ws, refusal.code, refusal.reason);
      return;
    }
    this.leave(state);
    // Only a link that lasted ends the row of failures: a peer that closes at once is not to be dialled without pause.
    const stable = setTimeout(() => (this.failures = 0), this.host.limits.stableMs);
    this.state = { phase: 'up', ws, peer, stable };
    this.full = false;
    this.log('info', 'peer-link-up', `incarnation ${peer.incarnation}`);
  }

  private refuse(ws: WebSocket, code: CloseCode, reason: string): void {
    this.log('error', 'peer-refused', reason);
    ws.close(code, closeReason(reason));
    this.retryLater();
  }

  private onClose(ws: WebSocket, code: number, reason: string): void {
    const state = this.state;
    if (!this.isCurrent(ws)) return;
    if (code >= CLOSE.protocolVersion && code !== CLOSE.replaced)
      this.log('error', 'peer-refused-us', reason);
    else if (state.phase === 'up')
      this.log('warn', 'peer-link-down', reason === '' ? `closed (${code})` : reason);
    this.retryLater();
  }

  private retryLater(): void {
    this.leave(this.state);
    this.coalescer.clear();
    this.state = this.wait();
  }

  private isCurrent(ws: WebSocket): boolean {
    return (this.state.phase === 'dialling' || this.state.phase === 'up') && this.state.ws === ws;
  }

  /** Stop the timer of a state. */
  private leave(state: State): void {
    if (state.phase === 'waiting') clearTimeout(state.timer);
    else if (state.phase === 'dialling') clearTimeout(state.deadline);
    else if (state.phase === 'up') clearTimeout(state.stable);
  }

  private isFull(bytes: number): boolean {
    const { bufferedBytesMax } = this.host.limits;
    if (bytes > PEER_FRAME_BYTES_MAX) {
      this.log('error', 'peer-message-too-large', `${bytes} bytes`);
      return true;
    }
    const buffered = this.bufferedBytes();
    if (this.full) this.full = buffered > bufferedBytesMax / 2;
    else if (buffered + bytes > bufferedBytesMax) {
      this.full = true;
      this.log('warn', 'peer-link-full', `${buffered} bytes wait to be sent; dropping`);
    }
    return this.full;
  }

  private bufferedBytes(): number {
    return this.state.phase === 'up' ? this.state.ws.bufferedAmount + this.coalescer.pendingBytes : 0;
  }

  private sendFrame(frame: Uint8Array): void {
    if (this.state.phase !== 'up' || this.state.ws.readyState !== WebSocket.OPEN) return;
    this.framesSent += 1;
    this.bytesSent += frame.length;
    this.state.ws.send(frame);
  }

  private log(level: 'info' | 'warn' | 'error', event: string, reason: string): void {
    if (this.state.phase === 'closed') return;
    this.host.log(level, event, `${this.peerId} ${reason}`, {
      peer: this.peerId,
      address: this.address,
      reason,
    });
  }
}
