/**
 * The ways from clients to replicas and back: requests and answers, and the connections of watchers, which keep order.
 * What passes is real frames; what is lost is what was under way when a process died.
 */
import type { ReplicaId } from '@kvd/paxos';
import {
  type ClientFrameHandler,
  decodeClientFrame,
  encodeResponse,
  encodeWatchMessage,
} from '@kvd/protocol';
import type { WatchSink } from '@kvd/replica';
import { describeResponse, describeWatchMessage } from './describe.js';
import type { Host } from './host.js';
import { MARK } from './journal.js';
import type { Random } from './random.js';
import type { WatchLink } from './workload/watcher.js';
import type { World } from './world.js';

/** What a client that is slow has to read counts so much more: else a run would need a million events. */
const SLOW_WEIGHT = 30_000;
const SLOW_MS = 150;

/** What is handled elsewhere, or never sent. */
const NOTHING: ClientFrameHandler = {
  onHello: () => undefined,
  onRequest: () => undefined,
  onInvalidRequest: (_, error) => {
    throw error;
  },
  onInvalidWatch: (_, error) => {
    throw error;
  },
  onWatch: () => undefined,
  onUnwatch: () => undefined,
};

/** Where answers go: a client of the workload, or the operator. */
export interface ClientEnd {
  readonly id: number;
  /** Answers reach it so much later. */
  readonly slowMs: number;
  onFrame(frame: Uint8Array): void;
}

interface OpenLink {
  readonly hostId: ReplicaId;
  lost(): void;
}

export class Connections {
  private readonly watching = new Set<OpenLink>();

  constructor(
    private readonly world: World,
    private readonly random: Random,
    private readonly watchRandom: Random,
  ) {}

  /** False: nobody listens there. */
  request(client: ClientEnd, to: ReplicaId, frame: Uint8Array): boolean {
    const { world } = this;
    const host = this.listening(to);
    if (host === null) return false;
    world.journal.markBytes(MARK.client, client.id * 16 + to, frame);
    const { life } = host;
    const sink = host.sink((requestId, response) => {
      const answer = encodeResponse(requestId, response);
      world.journal.markBytes(MARK.client, to * 16 + client.id, answer);
      world.journal.say(to, () => `answers client ${client.id} ${describeResponse(response)}`);
      world.clock.after(this.delay(this.random) + client.slowMs, () =>
        world.guard(() => client.onFrame(answer)),
      );
    });
    world.clock.after(this.delay(this.random), () => {
      if (host.life !== life) return;
      host.deliver(() =>
        decodeClientFrame(frame, {
          ...NOTHING,
          onRequest: (requestId, request) => host.replica?.request(sink, requestId, request),
        }),
      );
    });
    return true;
  }

  /** A watcher's connection; null: nobody listens there. */
  watch(
    id: number,
    to: ReplicaId,
    slow: boolean,
    hears: (frame: Uint8Array) => void,
    lost: () => void,
  ): WatchLink | null {
    const { world, watchRandom } = this;
    const host = this.listening(to);
    if (host === null) return null;
    const { clock, journal } = world;
    const { life } = host;
    const open: OpenLink = { hostId: to, lost };
    this.watching.add(open);
    const arrivesMs = { up: 0, down: 0 };
    /** In order, after what was sent before. */
    const inOrder = (way: 'up' | 'down', delayMs: number, run: () => void): void => {
      arrivesMs[way] = Math.max(arrivesMs[way], clock.nowMs + delayMs);
      clock.at(arrivesMs[way], run);
    };
    let waiting = 0;
    const sink: WatchSink = {
      get bufferedBytes() {
        return waiting;
      },
      tell: (watchId, message) => {
        if (host.life !== life) return;
        const frame = encodeWatchMessage(watchId, message);
        journal.markBytes(MARK.client, to * 16 + id, frame);
        journal.say(to, () => `tells watcher ${id} ${describeWatchMessage(message)}`);
        const bytes = slow ? frame.length * SLOW_WEIGHT : frame.length;
        waiting += bytes;
        const delayMs = this.delay(watchRandom) + (slow ? watchRandom.exponential(SLOW_MS) : 0);
        inOrder('down', delayMs, () => {
          waiting -= bytes;
          world.guard(() => hears(frame));
        });
      },
    };
    const deliver = (run: () => void): void =>
      inOrder('up', this.delay(watchRandom), () => {
        if (host.life === life) host.deliver(run);
      });
    return {
      send: (frame) =>
        deliver(() =>
          decodeClientFrame(frame, {
            ...NOTHING,
            onWatch: (watchId, request) => host.replica?.watch(sink, watchId, request),
            onUnwatch: (watchId) => host.replica?.unwatch(sink, watchId),
          }),
        ),
      close: () => {
        this.watching.delete(open);
        deliver(() => host.replica?.forgetWatches(sink));
      },
    };
  }

  /** A process died: those who are connected to it notice. */
  onDown(host: Host): void {
    for (const open of this.watching) {
      if (open.hostId !== host.id) continue;
      this.watching.delete(open);
      this.world.clock.after(this.watchRandom.between(1, 5), () => open.lost());
    }
  }

  private listening(to: ReplicaId): Host | null {
    const host = this.world.hosts[to - 1];
    return host?.isUp === true ? host : null;
  }

  private delay(random: Random): number {
    const { delayMs, jitterMs } = this.world.network.weather;
    return delayMs + random.exponential(jitterMs);
  }
}
