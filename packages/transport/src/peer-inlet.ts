/**
 * A connection that a peer made to this replica, on which it receives. The first message is the peer's hello, answered
 * by ours; every later one goes to the mesh. Nothing else is ever sent here.
 */
import type { Duplex } from 'node:stream';
import type { Identity } from '@kvd/paxos';
import { decodePeerHello, encodePeerHello, KvdError, type PeerHello } from '@kvd/protocol';
import type { WebSocket } from 'ws';
import type { ConnectionWatch, Watched } from './connection-watch.js';
import { checkPeerHello, type Refusal } from './peer-handshake.js';
import type { PeerLimits } from './peer-limits.js';
import { asBytes, CLOSE, type CloseCode, closeReason } from './ws-conventions.js';

/** What an inlet needs of the mesh it belongs to. */
export interface PeerInletHost {
  readonly limits: PeerLimits;
  readonly watch: ConnectionWatch;
  hello(): PeerHello;
  /** The peer's hello is in order; why it is refused all the same, or null. */
  admit(peer: Identity): Refusal | null;
  /** The handshake is done. */
  onEstablished(inlet: PeerInlet, peer: Identity, theirs: PeerHello): void;
  /** Throws KVD_BAD_FRAME on bytes that are none. */
  onFrame(peer: Identity, bytes: Uint8Array): void;
  /** Once, whether it had been established or not. */
  onClosed(inlet: PeerInlet): void;
  log(level: 'warn' | 'error', event: string, about: string, fields: Readonly<Record<string, unknown>>): void;
}

export class PeerInlet {
  /** Null until the handshake is done. */
  peer: Identity | null = null;
  framesReceived = 0;
  bytesReceived = 0;
  private theirs: PeerHello | null = null;
  private closing = false;
  private readonly watched: Watched;
  private readonly deadline: NodeJS.Timeout;

  constructor(
    private readonly host: PeerInletHost,
    private readonly ws: WebSocket,
    socket: Duplex,
    private readonly remoteAddress: string,
  ) {
    this.watched = host.watch.watch(ws, socket, (reason) => {
      this.log('warn', 'peer-silent', reason);
      ws.terminate();
    });
    this.deadline = setTimeout(
      () => this.refuse(CLOSE.handshakeTimeout, 'no hello in time'),
      host.limits.handshakeMs,
    );
    ws.on('message', (data, isBinary) => this.onMessage(asBytes(data), isBinary));
    ws.on('error', (error) => this.log('warn', 'peer-broken', error.message));
    ws.on('close', () => {
      clearTimeout(this.deadline);
      this.watched.unwatch();
      host.onClosed(this);
    });
  }

  /** From now on we demand this cluster. */
  recheck(): void {
    const refusal = this.theirs === null ? null : checkPeerHello(this.host.hello(), this.theirs, null);
    if (refusal !== null) this.refuse(refusal.code, refusal.reason);
  }

  close(code: CloseCode, reason: string): void {
    this.closing = true;
    clearTimeout(this.deadline);
    this.ws.close(code, closeReason(reason));
  }

  private onMessage(bytes: Uint8Array, isBinary: boolean): void {
    if (this.closing) return;
    this.watched.heard();
    try {
      if (!isBinary) throw new KvdError('KVD_BAD_FRAME', 'a text message');
      if (this.peer === null) this.onHello(decodePeerHello(bytes));
      else {
        this.framesReceived += 1;
        this.bytesReceived += bytes.length;
        this.host.onFrame(this.peer, bytes);
      }
    } catch (error) {
      if (!(error instanceof KvdError) || error.code === 'KVD_INTERNAL') throw error;
      this.refuse(
        error.code === 'KVD_PROTOCOL_VERSION' ? CLOSE.protocolVersion : CLOSE.badFrame,
        error.message,
      );
    }
  }

  private onHello(theirs: PeerHello): void {
    const ours = this.host.hello();
    const peer = { replicaId: theirs.replicaId, incarnation: theirs.incarnation };
    const refusal = checkPeerHello(ours, theirs, null) ?? this.host.admit(peer);
    if (refusal !== null) {
      this.refuse(refusal.code, refusal.reason);
      return;
    }
    clearTimeout(this.deadline);
    this.theirs = theirs;
    this.peer = peer;
    this.ws.send(encodePeerHello(ours));
    this.host.onEstablished(this, peer, theirs);
  }

  private refuse(code: CloseCode, reason: string): void {
    if (this.closing) return;
    this.log('error', 'peer-refused', reason);
    this.close(code, reason);
  }

  private log(level: 'warn' | 'error', event: string, reason: string): void {
    const peer = this.peer?.replicaId ?? 0;
    this.host.log(level, event, `${peer} ${reason}`, { peer, remoteAddress: this.remoteAddress, reason });
  }
}
