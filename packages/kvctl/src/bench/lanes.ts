/** The load itself: lanes, each of which does one operation after the other, on the connections in turn. */
import type { KvdClient } from '@kvd/client';
import { setImmediate } from 'node:timers/promises';
import type { Meter } from './meter.js';
import type { Operations } from './operations.js';
import type { Pacer } from './pacer.js';
import type { Asked } from './workloads.js';

export interface Load {
  readonly clients: readonly KvdClient[];
  readonly lanes: number;
  readonly pacer: Pacer;
  readonly next: () => Asked;
  readonly operations: Operations;
  readonly meter: Meter;
}

/** Lanes that are under way. */
export interface Lanes {
  /** Resolves when the pacer gave out no more starts and everything has ended. */
  readonly ended: Promise<unknown>;
  /** How many have not ended: each is in the middle of an operation, or waits for its start. */
  running(): number;
}

export function startLanes(load: Load): Lanes {
  const { clients } = load;
  let running = load.lanes;
  const lanes = Array.from({ length: load.lanes }, async (_, index) => {
    const client = clients[index % clients.length];
    if (client !== undefined) await lane(load, client);
    running--;
  });
  return { ended: Promise.all(lanes), running: () => running };
}

async function lane({ pacer, next, operations, meter }: Load, client: KvdClient): Promise<void> {
  for (;;) {
    const given = pacer.take();
    const startMs = given instanceof Promise ? await given : given;
    if (startMs === null) return;
    const kind = next();
    try {
      const result = await operations[kind](client, startMs);
      meter.succeeded(kind, startMs, performance.now(), result !== undefined);
    } catch (error) {
      meter.failed(kind, startMs, error);
      // What is refused without being sent would leave nobody else a turn.
      await setImmediate();
    }
  }
}
