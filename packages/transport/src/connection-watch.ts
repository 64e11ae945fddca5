/**
 * Finds the connections that are dead without having been closed: half-open ones, whose other end vanished; those that
 * stopped in the middle of a message; those that do not read. One timer for all connections of its owner.
 *
 * It counts ticks, not time, so that a process that was itself held up does not take everybody else for dead. Messages
 * come in one ws frame each (maxFragments: 1), and within a frame nothing else can be sent: who sends half a message,
 * however slowly, cannot answer a ping meanwhile. So silence covers it.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';

export interface WatchLimits {
  /** How often all are looked at. */
  readonly tickMs: number;
  /** Silent for so long: asked for a sign of life (ws ping). */
  readonly pingAfterMs: number;
  /** Silent for so long: dead. */
  readonly silentMaxMs: number;
  /** Bytes of unfinished messages, over all connections; above it the largest are cut. */
  readonly unfinishedBytesMax: number;
}

/** A connection under watch. */
export interface Watched {
  /** To be called for every message. Pings and pongs are seen without. */
  heard(): void;
  unwatch(): void;
}

export class ConnectionWatch {
  private readonly entries = new Set<Entry>();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly limits: WatchLimits) {
    this.timer = setInterval(() => this.tick(), limits.tickMs);
    this.timer.unref();
  }

  /** `onDead` is called at most once, with the reason; the owner then ends the connection. */
  watch(ws: WebSocket, socket: Duplex, onDead: (reason: string) => void): Watched {
    const entry = new Entry(ws, socket instanceof Socket ? socket : null, onDead, (e) =>
      this.entries.delete(e),
    );
    this.entries.add(entry);
    return entry;
  }

  close(): void {
    clearInterval(this.timer);
    this.entries.clear();
  }

  private tick(): void {
    let unfinishedBytes = 0;
    for (const entry of this.entries) {
      entry.tick(this.limits);
      unfinishedBytes += entry.unfinishedBytes;
    }
    if (unfinishedBytes > this.limits.unfinishedBytesMax) this.cutLargest(unfinishedBytes);
  }

  private cutLargest(unfinishedBytes: number): void {
    let excess = unfinishedBytes - this.limits.unfinishedBytesMax;
    for (const entry of [...this.entries].sort((a, b) => b.unfinishedBytes - a.unfinishedBytes)) {
      if (excess <= 0) return;
      excess -= entry.unfinishedBytes;
      entry.dead('too many unfinished messages');
    }
  }
}

class Entry implements Watched {
  private signOfLife = true;
  private silentTicks = 0;
  /** Bytes read when the last sign of life came. */
  private readMark: number;
  private writtenMark = 0;

  constructor(
    private readonly ws: WebSocket,
    private readonly socket: Socket | null,
    private readonly onDead: (reason: string) => void,
    private readonly remove: (entry: Entry) => void,
  ) {
    this.readMark = socket?.bytesRead ?? 0;
    ws.on('ping', () => this.heard());
    ws.on('pong', () => this.heard());
  }

  /** What has come in since the last sign of life; what came together with that is not seen, one read at most. */
  get unfinishedBytes(): number {
    return this.socket === null ? 0 : this.socket.bytesRead - this.readMark;
  }

  heard(): void {
    this.signOfLife = true;
    this.readMark = this.socket?.bytesRead ?? 0;
  }

  unwatch(): void {
    this.remove(this);
  }

  dead(reason: string): void {
    this.remove(this);
    this.onDead(reason);
  }

  tick(limits: WatchLimits): void {
    const paused = this.ws.isPaused;
    const alive = paused ? this.writes() : this.signOfLife;
    this.signOfLife = false;
    if (alive) {
      this.silentTicks = 0;
      return;
    }
    this.silentTicks += 1;
    const silentMs = this.silentTicks * limits.tickMs;
    if (silentMs >= limits.silentMaxMs) {
      this.dead(paused ? `has not read for ${silentMs} ms` : `nothing whole heard for ${silentMs} ms`);
    } else if (silentMs >= limits.pingAfterMs && this.ws.readyState === WebSocket.OPEN) this.ws.ping();
  }

  /** We read nothing from it while it is paused: that it takes what we write is its sign of life. */
  private writes(): boolean {
    if (this.socket === null) return true;
    const written = this.socket.bytesWritten - this.socket.writableLength;
    const progress = written !== this.writtenMark;
    this.writtenMark = written;
    return progress;
  }
}
