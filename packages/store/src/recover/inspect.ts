/**
 * What one survivor's data directory says, read from a private copy: who it is, what its log proves, what its state holds.
 * Damage is found by the verification that a start does; what it leaves readable is evidence all the same (judge.ts).
 */
import {
  type Ballot,
  type ClusterId,
  type ConfigurationAt,
  type Identity,
  type LogEntry,
  type Slot,
  ZERO_BALLOT,
} from '@kvd/paxos';
import type { Done } from '@kvd/replica';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asStoreError, damaged, DirectoryError, StoreError } from '../errors.js';
import { levelOptions, openStateStore } from '../file-disk.js';
import { decodeIdentity, type DirectoryIdentity } from '../identity-file.js';
import { LevelStore } from '../level-store.js';
import { type LoadedLog, loadLog } from '../log-loader.js';
import type { OrderedStore } from '../ordered-store.js';
import { type LoadedState, loadState } from '../state-loader.js';
import type { StateHead } from '../state-records.js';
import { verifyInChild } from '../verify-child.js';
import { salvageCopy, scrubCopy } from './inspect-child.js';
import type { SurvivorLog } from './judge.js';
import { RecoverError } from './recover-error.js';

export interface Survivor {
  /** As it was given. */
  readonly directory: string;
  /** The private copy. */
  readonly copy: string;
  /** Null: nothing that can be read names it. */
  readonly identity: Identity | null;
  /** Empty: not known. */
  readonly clusterId: ClusterId;
  /** Why its log is not to be believed in what it does not say; null: verified. */
  readonly logDamage: string | null;
  readonly promised: Ballot;
  readonly chosenThrough: Slot;
  /** Of a verified log. */
  readonly cutThrough: Slot;
  readonly configurations: readonly ConfigurationAt[];
  /** Above chosenThrough; of a damaged log see withSalvage. */
  readonly accepted: readonly LogEntry[];
  /** Why its state cannot be used; null: verified whole, or there is none. */
  readonly stateDamage: string | null;
  readonly state: StateHead | null;
}

/** @throws RecoverError io */
export async function inspect(directory: string, copy: string): Promise<Survivor> {
  try {
    const file = readIdentity(copy);
    const log = await inspectLog(copy, file.identity);
    const state = await inspectState(copy);
    const clusterId =
      file.identity?.clusterId ||
      clusterOf(log.configurations) ||
      clusterOf(state.state?.configurations ?? []);
    const logDamage = log.logDamage ?? null;
    return { directory, copy, ...log, logDamage, ...state, clusterId };
  } catch (error) {
    if (error instanceof DirectoryError || (error instanceof StoreError && error.kind !== 'damaged'))
      throw new RecoverError('io', `${directory} cannot be read: ${error.message}`);
    throw error;
  }
}

/** With what can still be read of a damaged log from `fromSlot` on; a verified one as it is. */
export async function withSalvage(survivor: Survivor, fromSlot: Slot): Promise<Survivor> {
  if (survivor.logDamage === null || !existsSync(join(survivor.copy, 'log'))) return survivor;
  const { identity, promised, chosenThrough, configurations, accepted } = await salvageCopy(
    survivor.copy,
    fromSlot,
  );
  return {
    ...survivor,
    // What the log says of itself goes before a file beside it.
    identity: identity ?? survivor.identity,
    clusterId: survivor.clusterId || clusterOf(configurations),
    promised: promised ?? ZERO_BALLOT,
    chosenThrough,
    configurations,
    accepted,
  };
}

/** As evidence. */
export function evidenceOf(survivor: Survivor): SurvivorLog {
  const { logDamage, promised, chosenThrough, state } = survivor;
  const intact = logDamage === null;
  const bySlot = new Map<Slot, ConfigurationAt>();
  for (const at of [...survivor.configurations, ...(state?.configurations ?? [])]) bySlot.set(at.slot, at);
  return {
    identity: survivor.identity ?? { replicaId: 0, incarnation: '' },
    intact,
    promised,
    knownThrough: Math.max(intact ? chosenThrough : 0, state?.appliedThrough ?? 0),
    claimedThrough: chosenThrough,
    configurations: [...bySlot.values()],
    accepted: survivor.accepted,
  };
}

/** Opens a part of a private copy. */
export function openCopy(copy: string, part: 'log' | 'state'): Promise<OrderedStore> {
  return part === 'state'
    ? openStateStore(copy, { createIfMissing: false, mayCreate: true })
    : LevelStore.open(join(copy, part), levelOptions(part));
}

type LogPart = Pick<
  Survivor,
  'identity' | 'logDamage' | 'promised' | 'chosenThrough' | 'cutThrough' | 'configurations' | 'accepted'
>;

interface IdentityFile {
  readonly identity: DirectoryIdentity | null;
  readonly damage: string | null;
}

function readIdentity(copy: string): IdentityFile {
  const text = readText(copy, 'identity.json');
  if (text === null) return { identity: null, damage: 'the identity file is missing' };
  try {
    return { identity: decodeIdentity(text), damage: null };
  } catch (error) {
    return { identity: null, damage: asStoreError(error).message };
  }
}

async function inspectLog(copy: string, file: DirectoryIdentity | null): Promise<LogPart> {
  const named = file === null ? null : { replicaId: file.replicaId, incarnation: file.incarnation };
  const nothing = {
    identity: named,
    promised: ZERO_BALLOT,
    chosenThrough: 0,
    cutThrough: 0,
    configurations: [],
    accepted: [],
  };
  if (existsSync(join(copy, 'formatting')))
    return { ...nothing, logDamage: 'the directory was never formatted to its end' };
  if (!existsSync(join(copy, 'log'))) return { ...nothing, logDamage: 'log/ is missing' };
  const condemned = readText(copy, 'log-condemned');
  const damage = condemned ?? (await verifyInChild(copy, ['log'])).logDamage;
  if (damage !== null) return { ...nothing, logDamage: damage };
  const { recovered } = await loadFrom<LoadedLog>(copy, 'log', loadLog);
  const { identity, promised, chosenThrough, cutThrough, configurations, accepted } = recovered;
  const isForeign = named !== null && named.incarnation !== identity.incarnation;
  const logDamage = isForeign ? 'log/ and identity.json were not formatted together' : null;
  return { identity, logDamage, promised, chosenThrough, cutThrough, configurations, accepted };
}

async function inspectState(copy: string): Promise<Pick<Survivor, 'state' | 'stateDamage'>> {
  if (!existsSync(join(copy, 'state'))) return { state: null, stateDamage: null };
  const stateDamage = readText(copy, 'state-condemned') ?? (await scrubCopy(copy));
  if (stateDamage !== null) return { state: null, stateDamage };
  const { head } = await loadFrom<LoadedState>(copy, 'state', loadState);
  return { state: head, stateDamage: null };
}

/** What was verified a moment ago, by the same code, in another process. */
async function loadFrom<T>(
  copy: string,
  part: 'log' | 'state',
  load: (store: OrderedStore, done: Done<T | null>) => void,
): Promise<T> {
  const store = await openCopy(copy, part);
  try {
    return await new Promise<T>((resolve, reject) => {
      load(store, (error, loaded) => {
        if (loaded === null) reject(error ?? damaged(`${part}/ could not be loaded`));
        else resolve(loaded);
      });
    });
  } finally {
    await new Promise<void>((done) => store.close(() => done()));
  }
}

function clusterOf(configurations: readonly ConfigurationAt[]): ClusterId {
  return configurations[0]?.configuration.clusterId ?? '';
}

function readText(copy: string, name: string): string | null {
  const path = join(copy, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}
