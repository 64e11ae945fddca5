/**
 * GET /v1/snapshot: a backup of the state (docs/BACKUP.md), as it is on this replica's disk. It is read and sent a part at
 * a time, no faster than the client takes it, beside everything else; what is written meanwhile does not show in it.
 *
 * By default it holds all that was acknowledged before the request came: the cluster is asked for its revision, and the
 * replica waits until its disk has that. With ?consistency=stale it is what this replica has, also without a quorum.
 */
import type { ServerResponse } from 'node:http';
import { KvdError, type ScanRequest } from '@kvd/protocol';
import type { ReplicaStatus } from '@kvd/replica';
import { BackupWriter, type KvState } from '@kvd/store';
import type { Requester } from '../requester.js';
import type { Call } from './call.js';
import { drained } from './json-lines.js';
import { Query, timeoutOf } from './query.js';
import { mustBe } from './reads.js';

/** Each keeps LevelDB from dropping what was superseded since it began, and takes its share of the one thread. */
const SNAPSHOTS_MAX = 2;
/** Checked and sent in one go; small, for all others wait meanwhile. */
const PART_BYTES = 128 * 1024;
/** A flush is due after 50 ms, so it is on disk soon after it was applied. */
const POLL_MS = 10;

export type BackupState = Pick<KvState, 'durableRevision' | 'openDurable'>;

export interface SnapshotPorts {
  /** Null: this replica keeps none. */
  readonly state: BackupState | null;
  readonly status: () => Pick<ReplicaStatus, 'id' | 'clusterId'>;
  readonly requester: Pick<Requester, 'request'>;
  /** Wall-clock time, for people. */
  readonly wallMs: () => number;
}

export class SnapshotStreams {
  readonly #ports: SnapshotPorts;
  readonly #snapshotsMax: number;
  #open = 0;

  constructor(ports: SnapshotPorts, snapshotsMax = SNAPSHOTS_MAX) {
    this.#ports = ports;
    this.#snapshotsMax = snapshotsMax;
  }

  /** Answers, to the last part or until the client is gone. @throws KvdError before anything was sent */
  async serve({ request, response }: Call, rawQuery: string): Promise<void> {
    const query = new Query(rawQuery, ['consistency']);
    const consistency = query.consistency();
    const timeoutMs = timeoutOf(request);
    const { state } = this.#ports;
    if (state === null) throw new KvdError('KVD_UNAVAILABLE', 'this replica is a witness and keeps no state');
    if (this.#open >= this.#snapshotsMax)
      throw new KvdError('KVD_OVERLOADED', `more than ${this.#snapshotsMax} snapshots at once`);
    this.#open += 1;
    response.once('close', () => {
      this.#open -= 1;
    });
    if (consistency === 'linearizable') await this.#catchUp(state, timeoutMs);
    // Refused while the state is not to be believed, as any read of it here is.
    await this.#revision('stale', timeoutMs);
    const backup = await this.#openBackup(state);
    try {
      await sendBackup(response, backup);
    } finally {
      backup.close();
    }
  }

  /** Waits until this disk has all that was acknowledged by now. @throws KvdError */
  async #catchUp(state: BackupState, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const revision = await this.#revision('linearizable', timeoutMs);
    while (state.durableRevision < revision) {
      if (performance.now() > deadline) {
        const message = `this replica is at revision ${state.durableRevision}, the cluster at ${revision}; ask another one, or for a stale snapshot`;
        throw new KvdError('KVD_TIMEOUT', message);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #revision(consistency: ScanRequest['consistency'], timeoutMs: number): Promise<number> {
    const nothing = new Uint8Array(0);
    const scan = { from: nothing, to: nothing, limit: 1, keysOnly: true, countOnly: false, reverse: false };
    const request = { type: 'scan', timeoutMs, consistency, ...scan, revision: 0 } as const;
    return mustBe(await this.#ports.requester.request(request), 'page').revision;
  }

  #openBackup(state: BackupState): Promise<BackupWriter> {
    const { status, wallMs } = this.#ports;
    const { id: replicaId, clusterId } = status();
    return new Promise((resolve, reject) => {
      state.openDurable('present', (error, snapshot) => {
        if (error !== null || snapshot === null) {
          reject(new KvdError('KVD_UNAVAILABLE', `the state cannot be read: ${error?.message ?? ''}`));
        } else if (snapshot.configurations.length === 0) {
          snapshot.close();
          reject(new KvdError('KVD_UNAVAILABLE', 'this replica knows no configuration yet'));
        } else resolve(new BackupWriter(snapshot, { clusterId, replicaId, wallMs: wallMs() }));
      });
    });
  }
}

async function sendBackup(response: ServerResponse, backup: BackupWriter): Promise<void> {
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Kvd-Revision': String(backup.revision),
    'Kvd-Content-Hash': backup.contentHash,
  });
  for (;;) {
    const part = await new Promise<Buffer | null>((resolve, reject) => {
      backup.next(PART_BYTES, (error, next) => (error === null ? resolve(next) : reject(error)));
    });
    if (response.destroyed) return;
    if (part === null) break;
    if (!response.write(part)) await drained(response);
    if (response.destroyed) return;
  }
  response.end();
}
