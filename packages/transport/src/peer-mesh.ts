/**
 * The network among replicas: a PeerLink to every peer for sending, a PeerInlet from each for receiving, and what the
 * replica is told of them. One replica counts once: of several connections from the same id the newest is the one.
 *
 * It may lose messages (a link down, too much waiting) and never reorders those of a connection. It never interprets a
 * message.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ClusterId, Identity, ReplicaId } from '@kvd/paxos';
import { PEER_FRAME_BYTES_MAX, PROTOCOL_VERSION } from '@kvd/protocol';
import type { Random, Trace, Transport, TransportHandler } from '@kvd/replica';
import { WebSocketServer } from 'ws';
import { ConnectionWatch } from './connection-watch.js';
import { LogLimiter } from './log-limiter.js';
import { PeerInlet, type PeerInletHost } from './peer-inlet.js';
import { DEFAULT_PEER_LIMITS, type PeerLimits } from './peer-limits.js';
import { PeerLink, type PeerLinkHost, type PeerLinkStats } from './peer-link.js';
import { CLOSE, refuseUpgrade, serverOptions } from './ws-conventions.js';

export interface PeerMeshOptions {
  readonly identity: Identity;
  /** Own HOST:PORT, as peers reach it. */
  readonly address: string;
  /** Empty before the founding configuration is known. */
  readonly clusterId: ClusterId;
  /** `ID=HOST:PORT,…` sorted by id; empty: none known. */
  readonly founding: string;
  readonly handler: TransportHandler;
  readonly trace: Trace;
  readonly limits?: Partial<PeerLimits>;
  /** For the pauses between attempts. */
  readonly random?: Random;
}

/** Of one peer, since it was first known. */
export interface PeerStats extends PeerLinkStats {
  readonly id: ReplicaId;
  readonly address: string;
  /** Is it connected to us? */
  readonly incoming: boolean;
  /** On its present connection to us. */
  readonly framesReceived: number;
  readonly bytesReceived: number;
}

export class PeerMesh implements Transport {
  private readonly limits: PeerLimits;
  private readonly server = new WebSocketServer(serverOptions(PEER_FRAME_BYTES_MAX));
  private readonly watch: ConnectionWatch;
  private readonly logLimiter: LogLimiter;
  private readonly links = new Map<ReplicaId, PeerLink>();
  /** All connections made to us, and of each peer the one that counts. */
  private readonly inlets = new Set<PeerInlet>();
  private readonly established = new Map<ReplicaId, PeerInlet>();
  private readonly host: PeerLinkHost & PeerInletHost;
  private clusterId: ClusterId;
  private closed = false;

  constructor(private readonly options: PeerMeshOptions) {
    this.limits = { ...DEFAULT_PEER_LIMITS, ...options.limits };
    this.watch = new ConnectionWatch(this.limits);
    this.logLimiter = new LogLimiter(this.limits.logIntervalMs);
    this.clusterId = options.clusterId;
    this.host = this.createHost();
  }

  send(to: ReplicaId, bytes: Uint8Array): boolean {
    return this.links.get(to)?.send(bytes) ?? false;
  }

  setPeers(peers: readonly { readonly id: ReplicaId; readonly address: string }[]): void {
    if (this.closed) return;
    const wanted = new Map(peers.map((peer) => [peer.id, peer.address]));
    wanted.delete(this.options.identity.replicaId);
    for (const [id, link] of this.links) {
      if (wanted.get(id) === link.address) continue;
      link.close();
      this.links.delete(id);
    }
    for (const [id, address] of wanted) {
      if (!this.links.has(id)) this.links.set(id, new PeerLink(this.host, id, address));
    }
  }

  setCluster(clusterId: ClusterId): void {
    if (clusterId === this.clusterId) return;
    this.clusterId = clusterId;
    for (const link of this.links.values()) link.recheck();
    for (const inlet of this.inlets) inlet.recheck();
  }

  /** Take over an upgrade request that the HTTP server got for /peer. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.closed || this.inlets.size >= this.limits.incomingMax) {
      const reason = this.closed ? 'stopping' : 'too many connections';
      this.host.log('warn', 'peer-refused', reason, { reason });
      refuseUpgrade(socket, reason);
      return;
    }
    const remoteAddress = `${request.socket.remoteAddress ?? ''}:${request.socket.remotePort ?? 0}`;
    this.server.handleUpgrade(request, socket, head, (ws) => {
      this.inlets.add(new PeerInlet(this.host, ws, socket, remoteAddress));
    });
  }

  stats(): PeerStats[] {
    return [...this.links].map(([id, link]) => {
      const inlet = this.established.get(id);
      return {
        id,
        address: link.address,
        ...link.stats(),
        incoming: inlet !== undefined,
        framesReceived: inlet?.framesReceived ?? 0,
        bytesReceived: inlet?.bytesReceived ?? 0,
      };
    });
  }

  /** Send what waits, close all connections, dial and take no more. The handler hears nothing after it. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const link of this.links.values()) link.close();
    for (const inlet of this.inlets) inlet.close(CLOSE.stopping, 'stopping');
    this.watch.close();
    this.server.close();
  }

  private createHost(): PeerLinkHost & PeerInletHost {
    const { identity, address, founding, handler, trace, random = Math.random } = this.options;
    return {
      limits: this.limits,
      watch: this.watch,
      random,
      hello: () => ({
        type: 'peer-hello',
        protocolVersion: PROTOCOL_VERSION,
        clusterId: this.clusterId,
        ...identity,
        address,
        founding,
      }),
      onEstablished: (inlet, peer, peerAddress) => this.onEstablished(inlet, peer, peerAddress),
      onFrame: (peer, bytes) => handler.onPeerFrame(peer, bytes),
      onClosed: (inlet) => this.onInletClosed(inlet),
      log: (level, event, about, fields) => {
        if (this.closed) return;
        const suppressed = this.logLimiter.pass(`${event} ${about}`);
        if (suppressed !== null)
          trace.event(level, event, suppressed > 0 ? { ...fields, suppressed } : fields);
      },
    };
  }

  private onEstablished(inlet: PeerInlet, peer: Identity, address: string): void {
    const before = this.established.get(peer.replicaId);
    this.established.set(peer.replicaId, inlet);
    if (before !== undefined && before.peer !== null) {
      if (before.peer.incarnation !== peer.incarnation) {
        const { incarnation } = before.peer;
        const fields = { peer: peer.replicaId, before: incarnation, now: peer.incarnation };
        this.host.log('warn', 'peer-other-incarnation', `${peer.replicaId}`, fields);
      }
      before.close(CLOSE.replaced, 'a newer connection of this replica took its place');
      this.options.handler.onPeerDisconnected(before.peer);
    }
    this.options.handler.onPeerConnected(peer, address);
    this.links.get(peer.replicaId)?.peerCameIn(peer);
  }

  private onInletClosed(inlet: PeerInlet): void {
    this.inlets.delete(inlet);
    const { peer } = inlet;
    if (peer === null || this.established.get(peer.replicaId) !== inlet) return;
    this.established.delete(peer.replicaId);
    if (!this.closed) this.options.handler.onPeerDisconnected(peer);
  }
}
