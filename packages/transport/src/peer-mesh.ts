/**
 * The network among replicas: a PeerLink to every peer for sending, a PeerInlet from each for receiving, and what the
 * replica is told of them. Whoever connects is heard, listed as a peer or not, but only so many who are not: which
 * replica is a member, and which of two with the same id, is for the replica to judge. Of several connections from the
 * same incarnation the newest is the one.
 *
 * It may lose messages (a link down, too much waiting) and never reorders those of a connection. It never interprets a
 * message.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ClusterId, Identity, Incarnation, ReplicaId } from '@kvd/paxos';
import { PEER_FRAME_BYTES_MAX, type PeerHello, PROTOCOL_VERSION } from '@kvd/protocol';
import type { Random, Trace, Transport, TransportHandler } from '@kvd/replica';
import { WebSocketServer } from 'ws';
import { ConnectionWatch } from './connection-watch.js';
import { LogLimiter } from './log-limiter.js';
import { PeerInlet, type PeerInletHost } from './peer-inlet.js';
import { DEFAULT_PEER_LIMITS, type PeerLimits } from './peer-limits.js';
import { PeerLink, type PeerLinkHost, type PeerLinkStats } from './peer-link.js';
import type { Refusal } from './peer-handshake.js';
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
  /** On its present connections to us. */
  readonly framesReceived: number;
  readonly bytesReceived: number;
}

const NONE: ReadonlyMap<Incarnation, PeerInlet> = new Map();

export class PeerMesh implements Transport {
  private readonly limits: PeerLimits;
  private readonly server = new WebSocketServer(serverOptions(PEER_FRAME_BYTES_MAX));
  private readonly watch: ConnectionWatch;
  private readonly logLimiter: LogLimiter;
  private readonly links = new Map<ReplicaId, PeerLink>();
  /**
   * Peers that were named before they connected, as members are. A replica names strangers too, to answer them, but only
   * once they are connected: being named then makes no room for more of them.
   */
  private expected = new Set<ReplicaId>();
  /** All connections made to us, and of each incarnation the one that counts. */
  private readonly inlets = new Set<PeerInlet>();
  private readonly established = new Map<ReplicaId, Map<Incarnation, PeerInlet>>();
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
    const isExpected = (id: ReplicaId): boolean => this.expected.has(id) || this.inletsOf(id).size === 0;
    this.expected = new Set([...wanted.keys()].filter(isExpected));
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
      const inlets = [...this.inletsOf(id).values()];
      return {
        id,
        address: link.address,
        ...link.stats(),
        incoming: inlets.length > 0,
        framesReceived: inlets.reduce((sum, inlet) => sum + inlet.framesReceived, 0),
        bytesReceived: inlets.reduce((sum, inlet) => sum + inlet.bytesReceived, 0),
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
      admit: (peer) => this.admit(peer),
      onEstablished: (inlet, peer, theirs) => this.onEstablished(inlet, peer, theirs),
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

  private inletsOf(id: ReplicaId): ReadonlyMap<Incarnation, PeerInlet> {
    return this.established.get(id) ?? NONE;
  }

  /** A replica that wipes itself again and again, or is no peer of ours, must not use up the room of those that are. */
  private admit(peer: Identity): Refusal | null {
    const ofItsId = this.inletsOf(peer.replicaId);
    const isFirst = this.expected.has(peer.replicaId) && ofItsId.size === 0;
    if (isFirst || ofItsId.has(peer.incarnation) || this.strangers < this.limits.strangersMax) return null;
    const reason = `replica ${peer.replicaId} is one stranger too many; ${this.limits.strangersMax} are connected`;
    return { code: CLOSE.tooManyStrangers, reason };
  }

  /** Connections from ids that were not expected, and those beyond the first of one that was. */
  private get strangers(): number {
    let count = 0;
    for (const [id, inlets] of this.established) count += inlets.size - (this.expected.has(id) ? 1 : 0);
    return count;
  }

  private onEstablished(inlet: PeerInlet, peer: Identity, theirs: PeerHello): void {
    const { replicaId, incarnation } = peer;
    const { address, clusterId } = theirs;
    const ofItsId = this.established.get(replicaId) ?? new Map<Incarnation, PeerInlet>();
    this.established.set(replicaId, ofItsId);
    const before = ofItsId.get(incarnation);
    const others = [...ofItsId.keys()].filter((other) => other !== incarnation);
    ofItsId.set(incarnation, inlet);
    if (others.length > 0) {
      const fields = { peer: replicaId, address, incarnation, others };
      this.host.log('warn', 'peer-other-incarnation', `${replicaId}`, fields);
    }
    if (before !== undefined) {
      before.close(CLOSE.replaced, 'a newer connection of this replica took its place');
      this.options.handler.onPeerDisconnected(peer);
    }
    this.options.handler.onPeerConnected(peer, address, clusterId);
    this.links.get(replicaId)?.peerCameIn(peer, address);
  }

  private onInletClosed(inlet: PeerInlet): void {
    this.inlets.delete(inlet);
    const { peer } = inlet;
    if (peer === null) return;
    const ofItsId = this.established.get(peer.replicaId);
    if (ofItsId?.get(peer.incarnation) !== inlet) return;
    ofItsId.delete(peer.incarnation);
    if (ofItsId.size === 0) this.established.delete(peer.replicaId);
    if (!this.closed) this.options.handler.onPeerDisconnected(peer);
  }
}
