/**
 * One direction between two replicas, as a TCP proxy: the address that one of them dials for the other. What passes
 * can be delayed, held back as a network that lost its cable does (nothing arrives, nothing is closed), or cut off hard.
 *
 * A replica tells clients the addresses that it knows, so clients may come here too: whoever asks for another path than
 * /peer passes untouched. Never changes, loses or reorders a byte of a connection that it does not end.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

const HOST = '127.0.0.1';
const PEER_PATH = Buffer.from('GET /peer');
/** Bytes that one side may have waiting here before it is read no further. */
const HELD_BYTES_MAX = 4 * 1024 * 1024;

/** What happens to bytes between replicas. */
export type Condition =
  | { readonly type: 'open' }
  /** Nothing passes; connections stay, and new ones are not answered. */
  | { readonly type: 'held' }
  /** Each piece is late by delayMs to delayMs + jitterMs; the order stays. */
  | { readonly type: 'slow'; readonly delayMs: number; readonly jitterMs: number };

const OPEN: Condition = { type: 'open' };

export class LinkProxy {
  condition: Condition = OPEN;
  /** What it did to replicas: pieces that it held back, pieces that it made late, connections that it ended. */
  readonly effects = { held: 0, late: 0, reset: 0 };
  private readonly pairs = new Set<Pair>();

  private constructor(
    private readonly server: Server,
    private readonly targetPort: number,
    readonly random: () => number,
  ) {
    server.on('connection', (socket) => this.accept(socket));
  }

  /** Listens on a free port of the loopback. */
  static async open(targetPort: number, random: () => number): Promise<LinkProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, HOST, resolve);
    });
    return new LinkProxy(server, targetPort, random);
  }

  get address(): string {
    return `${HOST}:${(this.server.address() as AddressInfo).port}`;
  }

  set(condition: Condition): void {
    this.condition = condition;
    for (const pair of this.pairs) pair.proceed();
  }

  /** End the connections between replicas that there are now; both ends notice at once. */
  reset(): void {
    for (const pair of this.pairs) {
      if (!pair.isPeer) continue;
      this.effects.reset += 1;
      pair.destroy();
    }
  }

  close(): void {
    for (const pair of this.pairs) pair.destroy();
    this.server.close();
  }

  private accept(near: Socket): void {
    const far = connect({ host: HOST, port: this.targetPort, allowHalfOpen: true, noDelay: true });
    const pair = new Pair(this, near, far, () => this.pairs.delete(pair));
    this.pairs.add(pair);
  }
}

/** A connection that came in and the one that carries it on. */
class Pair {
  /** Known once its first bytes are there, which are on their way before anything comes back. */
  isPeer = false;
  private readonly there: Pump;
  private readonly back: Pump;

  constructor(
    readonly proxy: LinkProxy,
    private readonly near: Socket,
    private readonly far: Socket,
    private readonly onEnd: () => void,
  ) {
    this.there = new Pump(this, near, far);
    this.back = new Pump(this, far, near);
    near.once('data', (first: Buffer) => {
      this.isPeer = first.subarray(0, PEER_PATH.length).equals(PEER_PATH);
    });
    this.there.start();
    this.back.start();
  }

  get condition(): Condition {
    return this.isPeer ? this.proxy.condition : OPEN;
  }

  proceed(): void {
    this.there.proceed();
    this.back.proceed();
  }

  destroy(): void {
    this.there.stop();
    this.back.stop();
    this.near.destroy();
    this.far.destroy();
    this.onEnd();
  }
}

/** What is on its way: bytes, the orderly end of them, or that the connection broke. */
type Piece = Buffer | 'end' | 'broken';

/** One direction of a connection. */
class Pump {
  private readonly waiting: { readonly piece: Piece; readonly dueMs: number }[] = [];
  private waitingBytes = 0;
  private lastDueMs = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly pair: Pair,
    private readonly from: Socket,
    private readonly to: Socket,
  ) {}

  start(): void {
    this.from.on('data', (bytes: Buffer) => this.take(bytes));
    this.from.on('end', () => this.take('end'));
    this.from.on('error', () => this.take('broken'));
    this.from.on('close', () => this.take('broken'));
    this.to.on('drain', () => this.resume());
  }

  /** Let go what is due under the present condition. */
  proceed(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const { condition } = this.pair;
    if (condition.type === 'held') return;
    const now = performance.now();
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      const leftMs = condition.type === 'open' ? 0 : next.dueMs - now;
      if (leftMs > 0) {
        this.timer = setTimeout(() => this.proceed(), leftMs);
        break;
      }
      this.waiting.shift();
      this.pass(next.piece);
    }
    this.resume();
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.waiting.length = 0;
  }

  private take(piece: Piece): void {
    const { condition, proxy } = this.pair;
    if (condition.type === 'held') proxy.effects.held += 1;
    if (condition.type === 'slow') proxy.effects.late += 1;
    const lateMs = condition.type === 'slow' ? condition.delayMs + condition.jitterMs * proxy.random() : 0;
    this.lastDueMs = Math.max(this.lastDueMs, performance.now() + lateMs);
    this.waiting.push({ piece, dueMs: this.lastDueMs });
    if (typeof piece !== 'string') this.waitingBytes += piece.length;
    this.proceed();
    if (this.isFull) this.from.pause();
  }

  private pass(piece: Piece): void {
    if (piece === 'end') this.to.end();
    else if (piece === 'broken') this.pair.destroy();
    else {
      this.waitingBytes -= piece.length;
      this.to.write(piece);
    }
  }

  private get isFull(): boolean {
    return this.waitingBytes + this.to.writableLength > HELD_BYTES_MAX;
  }

  private resume(): void {
    if (this.from.isPaused() && !this.isFull) this.from.resume();
  }
}
