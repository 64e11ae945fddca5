/**
 * Clients that do not read as fast as their watches have something to tell: those watches are stalled until the client has
 * read, and ended when it does not. Bounds and patience are here; what stalled and ended mean is WatchHub's.
 */
import type { WatchClient, Watcher } from './watcher.js';

/** A client that has not read for so long is told that it is behind, wherever its watches were. */
const BEHIND_MS = 1_000;
/** And after so long its stalled watches are ended. */
const TOO_SLOW_MS = 60_000;

export interface SlowClientsHandler {
  /** Its client has read: take it out of here and go on. */
  resume(watcher: Watcher): void;
  /** Once a tick, while its client has not read. May end it. */
  onWait(watcher: Watcher): void;
  /** Tell it that it is behind. */
  onBehind(watcher: Watcher): void;
  /** To be ended, all of them. */
  onTooSlow(client: WatchClient, message: string): void;
}

export class SlowClients {
  private readonly clients = new Set<WatchClient>();
  private readonly behindTicks: number;
  private readonly tooSlowTicks: number;

  constructor(
    tickMs: number,
    private readonly handler: SlowClientsHandler,
  ) {
    this.behindTicks = Math.ceil(BEHIND_MS / tickMs);
    this.tooSlowTicks = Math.ceil(TOO_SLOW_MS / tickMs);
  }

  add(watcher: Watcher): void {
    watcher.client.stalled.add(watcher);
    this.clients.add(watcher.client);
  }

  remove(watcher: Watcher): void {
    const { client } = watcher;
    client.stalled.delete(watcher);
    if (client.stalled.size > 0) return;
    client.cloggedTicks = 0;
    this.clients.delete(client);
  }

  tick(): void {
    // As they are now: one that is resumed and is clogged again at once comes back to the end of the set.
    const clients = [...this.clients];
    for (const client of clients) {
      if (client.isDrained) this.resumeAll(client);
      else this.wait(client);
    }
  }

  /** In turns: those that the room does not suffice for stay in front of those that come back. */
  private resumeAll(client: WatchClient): void {
    client.cloggedTicks = 0;
    for (const watcher of client.stalled) {
      if (client.isClogged) return;
      this.handler.resume(watcher);
    }
  }

  private wait(client: WatchClient): void {
    client.cloggedTicks += 1;
    if (client.cloggedTicks > this.tooSlowTicks) {
      const message = `${client.sink.bufferedBytes} bytes were not read for ${TOO_SLOW_MS / 1000} s`;
      this.handler.onTooSlow(client, message);
      return;
    }
    const isBehind = client.cloggedTicks === this.behindTicks;
    for (const watcher of client.stalled) {
      if (isBehind) this.handler.onBehind(watcher);
      this.handler.onWait(watcher);
    }
  }
}
