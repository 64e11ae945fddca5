/**
 * Opens a replica's data directory: formats a new one, refuses one that is not this replica's, verifies one that was
 * used, and sets a damaged one aside (DESIGN 5). What is damaged is renamed, never deleted and never repaired; only a
 * state, which its log or a peer can rebuild, is dropped.
 *
 * The directory holds identity.json, log/, state/ and values/ (but for a witness's), acknowledged (the side file), reserve, and
 * set-aside/ if need be.
 */
import type { ClusterId, Identity, ReplicaId } from '@kvd/paxos';
import { foundingMembers } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import type { DirectoryDisk, StorePart } from './directory-disk.js';
import { DirectoryError, damaged, StoreError } from './errors.js';
import {
  type DirectoryIdentity,
  decodeIdentity,
  encodeIdentity,
  FORMAT_VERSION,
  OLDEST_FORMAT,
} from './identity-file.js';
import { KvState } from './kv-state.js';
import { DEFAULT_STATE_OPTIONS, type KvStateOptions } from './kv-state-options.js';
import { formatLogOps, freshLog, type LoadedLog, loadLog } from './log-loader.js';
import { OrderedLogStore } from './log-store.js';
import type { OrderedStore, StoreOp } from './ordered-store.js';
import { formatSide } from './side-file.js';
import { formatStateOps, freshState, type LoadedState, loadState } from './state-loader.js';
import { WitnessState } from './witness-state.js';

export interface DirectoryRequest {
  readonly replicaId: ReplicaId;
  /**
   * `ID=HOST:PORT,…` of the founding members, needed when the directory is formatted; null: as written down. Empty: when
   * it is formatted, it joins a cluster that others founded, and never founds one; later, as written down.
   */
  readonly founding: string | null;
  readonly state?: KvStateOptions;
  /** It is a witness's and keeps no state, for good. Absent: as written down, and when it is formatted it is none. */
  readonly witness?: boolean;
}

export interface OpenedDirectory {
  readonly log: OrderedLogStore;
  readonly state: KvState | WitnessState;
  readonly identity: Identity;
  /** Empty: not known yet. */
  readonly clusterId: ClusterId;
  readonly foundingList: string;
  /** False once a directory was set aside, for good: this replica takes no part in a founding. */
  readonly mayFound: boolean;
  /** True when it was formatted now. */
  readonly isNew: boolean;
  /** For people: what was set aside or dropped at this start, and why. */
  readonly setAside: readonly string[];
  /** Writes the cluster's id down, synced. @throws DirectoryError foreign: another one is written down */
  setClusterId(clusterId: ClusterId): void;
  /** The next start drops the state (its scrub failed, or a majority contradicts it). Synced. */
  condemnState(reason: string): void;
  /** The next start sets everything aside: the log forgot what it once said (S5). Synced. */
  condemnLog(reason: string): void;
  /** This replica was removed: from now on the directory opens no more, and says `message` instead. Synced. */
  noteRemoved(message: string): void;
  /** Gives back (false) or takes again (true) the room of the reserve file. Throws when there is no room. */
  setReserve(held: boolean): void;
  close(): Promise<void>;
}

/** What is set aside. `identity.json` is copied there and stays until a new one takes its place: it says whose this is. */
const DAMAGEABLE = ['log', 'state', 'values', 'acknowledged', 'state-condemned', 'log-condemned'] as const;
/** Begins the reason in `state-condemned` once the state was dropped: what is in state/ is no state yet. */
const DROPPED = 'dropped: ';
const NO_CLUSTER = '';

/**
 * @throws DirectoryError it cannot be used, and was left as it is
 * @throws StoreError the disk failed
 */
export async function openOnDisk(disk: DirectoryDisk, request: DirectoryRequest): Promise<OpenedDirectory> {
  const { founding, witness } = request;
  const start: Start = {
    disk,
    request,
    founding,
    witness,
    clusterId: NO_CLUSTER,
    mayFound: true,
    setAside: [],
  };
  const present = await takeStock(start);
  if (present === null) return format(start);
  const parts: readonly StorePart[] = isWitness(start) ? ['log'] : ['log', 'state'];
  const { logDamage, stateDamage } = await withRoom(disk, () => disk.verify(parts));
  if (logDamage === null) return open(start, present, stateDamage);
  moveAside(start, 'log-damaged', logDamage);
  return format(start);
}

/** One opening, and what it learns on the way. */
interface Start {
  readonly disk: DirectoryDisk;
  readonly request: DirectoryRequest;
  /** As given, else as written down. */
  founding: string | null;
  witness: boolean | undefined;
  clusterId: ClusterId;
  /** False as soon as anything says that it was used before. */
  mayFound: boolean;
  readonly setAside: string[];
}

function isWitness({ witness }: Start): boolean {
  return witness ?? false;
}

/** The identity of a directory that was formatted and has its log; null: it is to be formatted. */
async function takeStock(start: Start): Promise<DirectoryIdentity | null> {
  const { disk } = start;
  if (disk.exists('formatting')) {
    // Nothing was sent or promised before the format ended. Whoever else is at it holds the lock.
    await refuseIfLocked(disk);
    disk.remove(['log', 'state', 'values', 'acknowledged']);
    takeOver(start);
    return null;
  }
  const used = (['log', 'state', 'values', 'acknowledged'] as const).some((part) => disk.exists(part));
  const text = disk.readText('identity.json');
  if (text === null && !disk.exists('acknowledged')) refuseStrangers(disk);
  if (text === null && !used) return null;
  let reason = 'the identity file is missing';
  if (text !== null) {
    try {
      const identity = decodeIdentity(text);
      adopt(start, identity);
      const condemned = disk.readText('log-condemned');
      if (disk.exists('log') && condemned === null) return identity;
      reason = condemned ?? 'log/ is missing';
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      reason = error.message;
    }
  }
  refuseIfRemoved(disk);
  await refuseIfLocked(disk);
  moveAside(start, 'log-lost', reason);
  return null;
}

/** Nothing says that a replica was ever here: then what is here is not moved away, nor anything put beside it. */
function refuseStrangers(disk: DirectoryDisk): void {
  if (disk.exists('set-aside') || disk.exists('removed')) return;
  const strangers = disk.strangers();
  if (strangers.length === 0) return;
  const [first, second, ...more] = strangers;
  const named = [first, second].filter(Boolean).join(', ') + (more.length > 0 ? ' and more' : '');
  const message = `${disk.name} is no replica's, there are other folders in it: ${named}; give one that is empty or not there`;
  throw new DirectoryError('foreign', message);
}

/** Of a format that was interrupted: the identity that is there is the one before, or already the new one. */
function takeOver(start: Start): void {
  const text = start.disk.readText('identity.json');
  if (text === null) return;
  try {
    adopt(start, decodeIdentity(text));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
}

/** What is written down counts where nothing else is given. @throws DirectoryError foreign, and so on */
function adopt(start: Start, identity: DirectoryIdentity): void {
  checkOwner(start.disk, start.request, identity);
  start.witness ??= identity.witness;
  checkKind(start, identity);
  refuseIfRemoved(start.disk);
  if (!start.founding) start.founding = identity.founding;
  start.clusterId = identity.clusterId;
  start.mayFound &&= identity.mayFound;
}

function moveAside(start: Start, label: string, reason: string): void {
  const place = start.disk.setAside(DAMAGEABLE, label, reason);
  start.setAside.push(`${reason}; what there was is kept in ${place}`);
}

async function refuseIfLocked(disk: DirectoryDisk): Promise<void> {
  if (disk.exists('log')) await withRoom(disk, () => disk.verify(['log']));
}

/** Who was removed disturbs nobody, not even as a directory that was formatted anew. */
function refuseIfRemoved(disk: DirectoryDisk): void {
  const message = disk.readText('removed');
  if (message !== null) throw new DirectoryError('removed', message);
}

/** Foreign directories are refused, not set aside: they are somebody's. */
function checkOwner(disk: DirectoryDisk, request: DirectoryRequest, identity: DirectoryIdentity): void {
  if (identity.format < OLDEST_FORMAT || identity.format > FORMAT_VERSION) {
    const known = `formats ${OLDEST_FORMAT} to ${FORMAT_VERSION}`;
    const message = `${disk.name} has format ${identity.format}, this program knows ${known}`;
    throw new DirectoryError('newer-format', message);
  }
  if (identity.replicaId !== request.replicaId) {
    const message = `${disk.name} belongs to replica ${identity.replicaId}, this is replica ${request.replicaId}`;
    throw new DirectoryError('foreign', message);
  }
  if (request.founding && foundingMembers(request.founding) !== foundingMembers(identity.founding)) {
    const written =
      identity.founding === ''
        ? `${disk.name} joined a cluster that others founded`
        : `the founding members written down in ${disk.name} are '${identity.founding}'`;
    const message = `${written}, given are '${request.founding}'`;
    throw new DirectoryError('founding-differs', message);
  }
}

/** A witness's log could not rebuild a state, and a state that a witness does not keep up would be believed one day. */
function checkKind(start: Start, { witness }: DirectoryIdentity): void {
  if (witness === isWitness(start)) return;
  const { name } = start.disk;
  const message = witness
    ? `${name} is a witness's and keeps no state, this replica is no witness`
    : `${name} keeps a state, this replica is a witness`;
  throw new DirectoryError('foreign', message);
}

/**
 * `formatting` is there from before the first part to after `identity.json`, so a format that was interrupted is none, and
 * starts over.
 */
async function format(start: Start): Promise<OpenedDirectory> {
  const { disk, founding, clusterId } = start;
  if (founding === null) {
    throw new DirectoryError('founding-missing', `${disk.name} is new: the founding members must be given`);
  }
  const mayFound = start.mayFound && founding !== '' && !disk.exists('set-aside');
  const { replicaId } = start.request;
  const incarnation = disk.newIncarnation();
  const witness = isWitness(start);
  const identity = { format: FORMAT_VERSION, replicaId, incarnation, clusterId, founding, mayFound, witness };
  disk.writeText('formatting', '');
  // Of what was there before: the new log and state are to be believed.
  disk.remove(['state-condemned', 'log-condemned']);
  const logStore = await openStore(disk, 'log', true);
  const loaded = freshLog({ replicaId, incarnation });
  await writeAll(logStore, formatLogOps(loaded.recovered.identity));
  const state = witness ? null : await createState(disk);
  disk.createSide(formatSide(loaded.recovered.marker));
  disk.setReserve(true);
  disk.writeText('identity.json', encodeIdentity(identity));
  disk.remove(['formatting']);
  disk.sync();
  return assemble(start, identity, { logStore, loaded, state }, true);
}

async function open(
  start: Start,
  identity: DirectoryIdentity,
  stateDamage: string | null,
): Promise<OpenedDirectory> {
  const present = upgraded(start.disk, identity);
  const logStore = await openStore(start.disk, 'log', false);
  try {
    return await openVerified(start, present, stateDamage, logStore);
  } catch (error) {
    await promised<void>((done) => logStore.close(done));
    throw error;
  }
}

/** Before anything is written that the program which the directory comes from could not read. */
function upgraded(disk: DirectoryDisk, identity: DirectoryIdentity): DirectoryIdentity {
  if (identity.format === FORMAT_VERSION) return identity;
  const present = { ...identity, format: FORMAT_VERSION };
  // A full disk is no reason not to start: the reserve is made again when there is room.
  disk.setReserve(false);
  disk.writeText('identity.json', encodeIdentity(present));
  return present;
}

async function openVerified(
  start: Start,
  identity: DirectoryIdentity,
  stateDamage: string | null,
  logStore: OrderedStore,
): Promise<OpenedDirectory> {
  const [damage, loaded] = await unlessDamaged(() =>
    promised<LoadedLog | null>((done) => loadLog(logStore, done)),
  );
  if (loaded === null) {
    await promised<void>((done) => logStore.close(done));
    moveAside(start, 'log-damaged', damage);
    return format(start);
  }
  const { replicaId, incarnation } = loaded.recovered.identity;
  if (incarnation !== identity.incarnation || replicaId !== identity.replicaId) {
    await promised<void>((done) => logStore.close(done));
    moveAside(start, 'log-foreign', 'log/ and identity.json were not formatted together');
    return format(start);
  }
  const state = isWitness(start) ? null : await openState(start, stateDamage, loaded);
  return assemble(start, identity, { logStore, loaded, state }, false);
}

interface StateParts {
  readonly store: OrderedStore;
  readonly loaded: LoadedState;
}

async function createState(disk: DirectoryDisk): Promise<StateParts> {
  // Of a state that is gone: they would be taken for this one's.
  disk.remove(['values']);
  const store = await openStore(disk, 'state', true);
  await writeAll(store, formatStateOps());
  return { store, loaded: freshState() };
}

/** A state that is missing, damaged or condemned is dropped and begins empty: the log or a peer rebuilds it. */
async function openState(
  { disk, setAside }: Start,
  damage: string | null,
  log: LoadedLog,
): Promise<StateParts> {
  const condemned = disk.readText('state-condemned');
  let reason = condemned ?? damage;
  if (reason === null) {
    const [late, parts] = await unlessDamaged(() => loadedState(disk));
    if (parts !== null) return parts;
    reason = late;
  }
  if (!condemned?.startsWith(DROPPED) && !canBeRebuilt(log)) {
    const what = `the state is damaged (${reason}), its log does not reach back to the beginning, and no other member keeps one`;
    throw damaged(`${what}; it was left as it is: kvctl recover plan says what can still be read`);
  }
  // Kept until the next one: were all replicas wrong about theirs at once, it would be all there is. Dropped once: what is
  // found after a crash in here is no state, and must not take the place of the one that was.
  if (condemned?.startsWith(DROPPED)) {
    disk.remove(['state', 'values']);
  } else {
    disk.dropState();
    disk.writeText('state-condemned', DROPPED + reason);
  }
  const created = await createState(disk);
  disk.remove(['state-condemned']);
  disk.sync();
  const why = reason.startsWith(DROPPED) ? reason.slice(DROPPED.length) : reason;
  setAside.push(`the state was dropped and is being rebuilt: ${why}`);
  return created;
}

/** @throws StoreError damaged, or what the disk says */
async function loadedState(disk: DirectoryDisk): Promise<StateParts> {
  const store = await openStore(disk, 'state', false);
  try {
    const loaded = await promised<LoadedState | null>((done) => loadState(store, done));
    if (loaded === null) throw damaged('it could not be loaded');
    return { store, loaded };
  } catch (error) {
    await promised<void>((done) => store.close(done));
    throw error;
  }
}

/** By the log, or by a member that keeps a state, too. */
function canBeRebuilt({ head, recovered }: LoadedLog): boolean {
  const latest = recovered.configurations.at(-1)?.configuration;
  if (head.cutThrough === 0 || latest === undefined) return true;
  const { replicaId } = recovered.identity;
  return latest.members.some((member) => member.replicaId !== replicaId && member.role !== 'witness');
}

/** LevelDB writes when it opens: on a full disk that is what the reserve is for. It is taken again when there is room. */
async function withRoom<T>(disk: DirectoryDisk, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'no-space') throw error;
    disk.setReserve(false);
    return task();
  }
}

interface Parts {
  readonly logStore: OrderedStore;
  readonly loaded: LoadedLog;
  /** Null: a witness's. */
  readonly state: StateParts | null;
}

function assemble(start: Start, identity: DirectoryIdentity, parts: Parts, isNew: boolean): OpenedDirectory {
  const { disk, request, setAside } = start;
  const verify = (done: Done<void>): void => {
    disk.verify(['log']).then(
      ({ logDamage }) => done(logDamage === null ? null : damaged(logDamage), undefined),
      (error: unknown) => done(error instanceof Error ? error : damaged(String(error)), undefined),
    );
  };
  const log = new OrderedLogStore({ store: parts.logStore, side: disk.openSide(), verify }, parts.loaded);
  const state =
    parts.state === null
      ? new WitnessState(log)
      : new KvState(parts.state.store, parts.state.loaded, request.state ?? DEFAULT_STATE_OPTIONS);
  let written = identity;
  return {
    log,
    state,
    identity: parts.loaded.recovered.identity,
    clusterId: identity.clusterId,
    foundingList: identity.founding,
    mayFound: identity.mayFound && !disk.exists('set-aside'),
    isNew,
    setAside,
    setClusterId(clusterId) {
      if (written.clusterId === clusterId) return;
      if (written.clusterId !== NO_CLUSTER) {
        const message = `${disk.name} belongs to cluster ${written.clusterId}, not ${clusterId}`;
        throw new DirectoryError('foreign', message);
      }
      written = { ...written, clusterId };
      disk.writeText('identity.json', encodeIdentity(written));
    },
    condemnState: (reason) => disk.writeText('state-condemned', reason),
    condemnLog: (reason) => disk.writeText('log-condemned', reason),
    noteRemoved: (message) => disk.writeText('removed', message),
    setReserve: (held) => disk.setReserve(held),
    async close() {
      await promised<void>((done) => log.close(done));
      await promised<void>((done) => state.close(done));
    },
  };
}

async function openStore(
  disk: DirectoryDisk,
  part: StorePart,
  createIfMissing: boolean,
): Promise<OrderedStore> {
  try {
    return await withRoom(disk, () => disk.openStore(part, createIfMissing));
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'locked') {
      throw new DirectoryError('locked', `${disk.name} is in use by another process`);
    }
    throw error;
  }
}

function writeAll(store: OrderedStore, ops: readonly StoreOp[]): Promise<void> {
  return promised<void>((done) => store.batch(ops, done));
}

/** What was loaded, or the damage that struck after the verification: it is met as what the verification finds. */
async function unlessDamaged<T>(load: () => Promise<T | null>): Promise<readonly [string, T | null]> {
  try {
    const loaded = await load();
    return [loaded === null ? 'it could not be loaded' : '', loaded];
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'damaged') return [error.message, null];
    throw error;
  }
}

function promised<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === null ? resolve(result) : reject(error)));
  });
}
