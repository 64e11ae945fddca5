/** One of three replicas in this process: the real Replica on the real log and state, over memory, wired by who asks for it. */
import type { Identity, ReplicaId } from '@kvd/paxos';
import type { KvdOptions } from '@kvd/kvd';
import { Replica, type Transport } from '@kvd/replica';
import { type KvState, MemoryDisk, openMemoryDirectory, type Schedule, scheduleMicrotask } from '@kvd/store';
import { seededRandom } from './random.js';

export const REPLICAS: readonly ReplicaId[] = [1, 2, 3];

/** What a replica does to the world. */
export interface Wiring {
  readonly send: Transport['send'];
  /** A task for the end of the turn. */
  readonly endOfTurn: (task: () => void) => void;
  /** Something that its disk has done, to be told when it is to be. */
  readonly completed: (task: () => void) => void;
}

export interface OpenedReplica {
  readonly identity: Identity;
  readonly replica: Replica;
  readonly state: KvState;
  readonly disk: MemoryDisk;
}

export async function openReplica(
  id: ReplicaId,
  options: KvdOptions,
  wiring: Wiring,
): Promise<OpenedReplica> {
  const disk = new MemoryDisk();
  let schedule: Schedule = scheduleMicrotask;
  const { identity, log, state } = await openMemoryDirectory(
    disk,
    {
      replicaId: id,
      founding: REPLICAS.map((peer) => `${peer}=${addressOf(peer)}`).join(','),
      newIncarnation: () => String(id).repeat(32),
    },
    (task, kind) => schedule(task, kind),
  );
  schedule = (task) => wiring.completed(task);
  const replica = new Replica(
    {
      ...options,
      witness: false,
      founding: REPLICAS.map((peer) => ({ id: peer, address: addressOf(peer) })),
      newClusterId: 'c'.repeat(32),
      mayFound: true,
      address: addressOf(id),
    },
    {
      log,
      state,
      transport: { send: wiring.send, setPeers: () => undefined, setCluster: () => undefined },
      trace: { event: () => undefined },
      random: seededRandom(id),
      endOfTurn: wiring.endOfTurn,
    },
  );
  return { identity, replica, state: state as KvState, disk };
}

/** Each hears that it is connected with each other one. */
export function connectAll(members: Iterable<Pick<OpenedReplica, 'identity' | 'replica'>>): void {
  const all = [...members];
  for (const { replica } of all)
    for (const other of all)
      if (other.replica !== replica)
        replica.onPeerConnected(other.identity, addressOf(other.identity.replicaId), '');
}

function addressOf(id: ReplicaId): string {
  return `127.0.0.1:${id}`;
}
