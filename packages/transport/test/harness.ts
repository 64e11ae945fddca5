/** Real servers, sockets and meshes on 127.0.0.1 for the tests of this package, all closed when a test ends. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Identity } from '@kvd/paxos';
import { encodePeerHello, KvdError, type PeerHello } from '@kvd/protocol';
import type { Trace } from '@kvd/replica';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { PeerMesh, type PeerMeshOptions } from '../src/index.js';

const DEADLINE_MS = 15_000;

/** Wait until `condition` holds; what it waited for is named when it never does. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedMs > DEADLINE_MS) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The end of this turn of the event loop, and of everything it scheduled for right after. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

export interface Logged {
  readonly level: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class Logbook implements Trace {
  readonly lines: Logged[] = [];

  event(level: string, name: string, fields: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level, name, fields });
  }

  named(name: string): Logged[] {
    return this.lines.filter((line) => line.name === name);
  }
}

export type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface Listening {
  readonly address: string;
  readonly port: number;
  /** Cut every connection and stop listening, as when the process is killed. */
  kill(): Promise<void>;
}

export async function listen(t: Test, onUpgrade: Upgrade, port = 0): Promise<Listening> {
  const server: Server = createServer();
  const sockets = new Set<Duplex>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', onUpgrade);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const bound = (server.address() as AddressInfo).port;
  const kill = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  t.teardown(kill);
  return { address: `127.0.0.1:${bound}`, port: bound, kill };
}

/** A ws connection of a stranger: what it received, and how it ended. */
export class Stranger {
  readonly ws: WebSocket;
  readonly received: Uint8Array[] = [];
  closed: { readonly code: number; readonly reason: string } | null = null;
  status = 0;

  constructor(t: Test, url: string) {
    this.ws = new WebSocket(url, { perMessageDeflate: false });
    this.ws.on('message', (data) => this.received.push(data as Buffer));
    this.ws.on('error', () => {});
    this.ws.on('unexpected-response', (request, response) => {
      this.status = response.statusCode ?? 0;
      request.destroy();
    });
    this.ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    t.teardown(() => this.ws.terminate());
  }

  static async open(t: Test, url: string): Promise<Stranger> {
    const stranger = new Stranger(t, url);
    await once(stranger.ws, 'open');
    return stranger;
  }

  async ended(): Promise<{ readonly code: number; readonly reason: string }> {
    await until('the connection is closed', () => this.closed !== null);
    return this.closed ?? { code: 0, reason: '' };
  }
}

/** A bare TCP connection that has asked for the upgrade and got it. It answers no ping. */
export async function bareUpgraded(t: Test, address: string, path: string): Promise<Socket> {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host);
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  return socket;
}

/** A ws frame from a client, with a mask of zeros. `announced`: the length that its header gives. */
export function clientFrame(payload: Uint8Array, announced = payload.length): Uint8Array {
  const header = Buffer.alloc(14);
  header[0] = 0x82;
  header[1] = 0xff;
  header.writeBigUInt64BE(BigInt(announced), 2);
  return Buffer.concat([header, payload]);
}

export const incarnation = (digit: string): string => digit.repeat(32);

/** What a replica's handler was told: `+2` connected, `-2` disconnected, and the frames. */
export class Told {
  readonly links: string[] = [];
  readonly frames: { readonly from: number; readonly incarnation: string; readonly bytes: Uint8Array }[] = [];

  onPeerFrame(from: Identity, bytes: Uint8Array): void {
    if (bytes[0] === 0xff) throw new KvdError('KVD_BAD_FRAME', 'garbage');
    this.frames.push({ from: from.replicaId, incarnation: from.incarnation, bytes });
  }

  onPeerConnected(from: Identity): void {
    this.links.push(`+${from.replicaId}${from.incarnation[0] ?? ''}`);
  }

  onPeerDisconnected(from: Identity): void {
    this.links.push(`-${from.replicaId}${from.incarnation[0] ?? ''}`);
  }
}

export interface Node {
  readonly id: number;
  readonly mesh: PeerMesh;
  readonly told: Told;
  readonly log: Logbook;
  readonly server: Listening;
  readonly address: string;
}

/** A mesh behind a server of its own. Its incarnation is made of the digit that `id` is in hex. */
export async function startNode(
  t: Test,
  id: number,
  options: Partial<PeerMeshOptions> = {},
  port = 0,
): Promise<Node> {
  const told = new Told();
  const log = new Logbook();
  const late: { mesh?: PeerMesh } = {};
  const server = await listen(
    t,
    (request, socket, head) => late.mesh?.handleUpgrade(request, socket, head),
    port,
  );
  const mesh = new PeerMesh({
    identity: { replicaId: id, incarnation: incarnation(id.toString(16)) },
    address: server.address,
    clusterId: '',
    founding: '',
    handler: told,
    trace: log,
    ...options,
  });
  late.mesh = mesh;
  t.teardown(() => mesh.close());
  return { id, mesh, told, log, server, address: server.address };
}

export function hello(id: number, change: Partial<PeerHello> = {}): Uint8Array {
  return encodePeerHello({
    type: 'peer-hello',
    protocolVersion: 1,
    clusterId: '',
    replicaId: id,
    incarnation: incarnation(id.toString(16)),
    address: '127.0.0.1:1',
    founding: '',
    ...change,
  });
}
