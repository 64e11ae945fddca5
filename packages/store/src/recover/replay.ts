/**
 * Builds the state to go on from: the state of the survivor from which the logs reach furthest, and on it, slot by slot,
 * what is chosen and what is kept (judge.ts). Applied by KvState, as a replica would, on the private copies.
 */
import type { LogEntry, Slot } from '@kvd/paxos';
import { PAGE_BYTES_MAX } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { join } from 'node:path';
import { decodeSlot } from '../batches.js';
import { damaged } from '../errors.js';
import { openStateStore } from '../file-disk.js';
import { KvState } from '../kv-state.js';
import { loadLog } from '../log-loader.js';
import { OrderedLogStore } from '../log-store.js';
import { DiskSideFile } from '../side-file.js';
import { formatStateOps, loadState } from '../state-loader.js';
import { openCopy, type Survivor } from './inspect.js';
import type { Judgement } from './judge.js';
import { RecoverError } from './recover-error.js';

/** How often what was applied goes to the disk. */
const FLUSH_KEYS = 1000;
/** How far back a batch is looked for that tells the time of the last slot. */
const TIME_SLOTS = 64;

export interface Replayed {
  readonly state: KvState;
  /** Whose state it began with; null: none, the logs go back to slot 1. */
  readonly base: Survivor | null;
  readonly baseSlot: Slot;
  /** Of the slot's end, from knownThrough on (or from the state's slot, where that is lower). */
  readonly revisions: ReadonlyMap<Slot, number>;
  /** Wall-clock time of the last batch at or below knownThrough that a log still has; null: none. */
  readonly wallMs: number | null;
}

/** How far the logs carry a state of `appliedThrough`. */
export function reachOf(appliedThrough: Slot, survivors: readonly Survivor[], judgement: Judgement): Slot {
  let reach = appliedThrough;
  for (;;) {
    const next = logFor(survivors, reach + 1);
    if (next === undefined) break;
    reach = next.chosenThrough;
  }
  return reach < judgement.knownThrough ? reach : Math.max(reach, judgement.keepThrough);
}

/** Which state to begin with: from where the logs reach furthest, and of those the highest. Null: an empty one. */
export function baseOf(survivors: readonly Survivor[], judgement: Judgement): Survivor | null {
  const slotOf = (survivor: Survivor | null): Slot => survivor?.state?.appliedThrough ?? 0;
  const candidates = [null, ...survivors.filter(({ state }) => state !== null)];
  const reach = (survivor: Survivor | null): Slot => reachOf(slotOf(survivor), survivors, judgement);
  return candidates.reduce((best, next) => {
    const order = reach(next) - reach(best);
    return order > 0 || (order === 0 && slotOf(next) > slotOf(best)) ? next : best;
  }, null);
}

/**
 * The caller closes the state.
 * @throws RecoverError unrecoverable: there is no state, and no log that goes back to slot 1
 */
export async function replay(
  survivors: readonly Survivor[],
  judgement: Judgement,
  scratch: string,
): Promise<Replayed> {
  const base = baseOf(survivors, judgement);
  const baseSlot = base?.state?.appliedThrough ?? 0;
  const through = reachOf(baseSlot, survivors, judgement);
  if (through === 0)
    throw new RecoverError(
      'unrecoverable',
      'no survivor has a state, or a log that goes back to its beginning',
    );
  const state = await openState(base, scratch);
  const logs = new Logs();
  try {
    const revisions = new Map<Slot, number>();
    const note = (): void => {
      if (state.appliedThrough >= Math.min(judgement.knownThrough, through))
        revisions.set(state.appliedThrough, state.revision);
    };
    note();
    while (state.appliedThrough < through) {
      const page = await nextEntries(logs, survivors, judgement, state.appliedThrough + 1);
      for (const entry of page) {
        await apply(state, entry);
        note();
      }
    }
    await flush(state);
    const wallMs = await lastWallMs(logs, survivors, judgement.knownThrough);
    return { state, base, baseSlot, revisions, wallMs };
  } catch (error) {
    await call<void>((done) => state.close(done));
    throw error;
  } finally {
    await logs.close();
  }
}

export function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

/** A verified log that has the slot, and knows that its value is the chosen one. */
function logFor(survivors: readonly Survivor[], slot: Slot): Survivor | undefined {
  return survivors.find(
    ({ logDamage, cutThrough, chosenThrough }) =>
      logDamage === null && cutThrough < slot && slot <= chosenThrough,
  );
}

async function nextEntries(
  logs: Logs,
  survivors: readonly Survivor[],
  judgement: Judgement,
  slot: Slot,
): Promise<readonly LogEntry[]> {
  const survivor = logFor(survivors, slot);
  if (survivor !== undefined) return logs.read(survivor, slot, survivor.chosenThrough);
  const entry = judgement.slots[slot - judgement.knownThrough - 1]?.entry;
  if (!entry) throw damaged(`slot ${slot} is out of reach`);
  return [entry];
}

/** The private copies' logs, opened when they are read. */
class Logs {
  private readonly open = new Map<Survivor, OrderedLogStore>();

  async read(survivor: Survivor, from: Slot, through: Slot): Promise<readonly LogEntry[]> {
    const log = this.open.get(survivor) ?? (await this.openLog(survivor));
    const entries = await call<LogEntry[]>((done) => log.read(from, through, PAGE_BYTES_MAX, done));
    if (entries.length === 0) throw damaged(`slot ${from} is missing in the log of ${survivor.directory}`);
    return entries;
  }

  async close(): Promise<void> {
    for (const log of this.open.values()) await call<void>((done) => log.close(done));
  }

  private async openLog(survivor: Survivor): Promise<OrderedLogStore> {
    const store = await openCopy(survivor.copy, 'log');
    const loaded = await call((done: Done<Parameters<Parameters<typeof loadLog>[1]>[1]>) =>
      loadLog(store, done),
    );
    if (loaded === null) throw damaged(`the log of ${survivor.directory} could not be loaded`);
    const side = new DiskSideFile(join(survivor.copy, 'acknowledged'));
    // Verified before, and never written to.
    const log = new OrderedLogStore({ store, side, verify: (done) => done(null, undefined) }, loaded);
    this.open.set(survivor, log);
    return log;
  }
}

async function openState(base: Survivor | null, scratch: string): Promise<KvState> {
  const store =
    base === null
      ? await openStateStore(scratch, { createIfMissing: true, mayCreate: true })
      : await openCopy(base.copy, 'state');
  if (base === null) await call<void>((done) => store.batch(formatStateOps(), done));
  const loaded = await call((done: Done<Parameters<Parameters<typeof loadState>[1]>[1]>) =>
    loadState(store, done),
  );
  if (loaded === null) throw damaged('the state could not be loaded');
  return new KvState(store, loaded);
}

async function apply(state: KvState, { slot, value }: LogEntry): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const isReady = state.prepare(value, (error) => (error === null ? resolve() : reject(error)));
    if (isReady) resolve();
  });
  state.apply(slot, value);
  if (state.dirtyKeys >= FLUSH_KEYS) await flush(state);
}

async function flush(state: KvState): Promise<void> {
  state.freeze();
  await call<void>((done) => state.writeFrozen(done));
}

async function lastWallMs(logs: Logs, survivors: readonly Survivor[], through: Slot): Promise<number | null> {
  const survivor = logFor(survivors, through);
  if (survivor === undefined) return null;
  let from = Math.max(survivor.cutThrough + 1, through - TIME_SLOTS + 1);
  let wallMs: number | null = null;
  while (from <= through) {
    const page = await logs.read(survivor, from, through);
    for (const { value } of page) if (value.type === 'batch') wallMs = decodeSlot(value.bytes).wallMs;
    from += page.length;
  }
  return wallMs;
}
