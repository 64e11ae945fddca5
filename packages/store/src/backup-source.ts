/** A backup read to be checked, or to be made a cluster of. Where its bytes come from is the caller's. */
import type { ClusterId } from '@kvd/paxos';
import type { Done } from '@kvd/replica';
import { asBuffer } from './bytes.js';
import { BackupDecoder, type CheckedBackup } from './backup-decoder.js';
import { BackupError } from './backup-errors.js';
import { type BackupHeader, damagedBackup } from './backup-format.js';
import { type SeededCluster, seedDirectories, type SeedMember } from './seed-directories.js';
import { SLOT_STEP } from './seed-state.js';
import { encodeItem } from './snapshot.js';

export type BackupBytes = AsyncIterable<Uint8Array>;

/** How far it is: keys read, of those that the header says. */
export type BackupProgress = (keys: number, of: number) => void;

/** Reads it to its end. @throws BackupError it is not whole */
export async function checkBackup(source: BackupBytes, onProgress?: BackupProgress): Promise<CheckedBackup> {
  const decoder = new BackupDecoder();
  for await (const bytes of source) {
    decoder.push(asBuffer(bytes));
    onProgress?.(decoder.keys, decoder.header?.head.keys ?? 0);
  }
  return decoder.finish();
}

export interface RestoreRequest {
  /** A new one. */
  readonly clusterId: ClusterId;
  readonly members: readonly SeedMember[];
  readonly revisionStep: number;
  readonly onProgress?: BackupProgress;
}

export interface Restored {
  readonly backup: CheckedBackup;
  readonly cluster: SeededCluster;
}

/**
 * Makes a new cluster of a backup, in one pass over it: the directories are good for something only after its last byte
 * was checked. The slots go on above the backup's by SLOT_STEP, the revisions by `revisionStep`.
 * @throws BackupError, StoreError as seedDirectories; it leaves nothing then
 */
export async function restoreBackup(
  directory: string,
  source: BackupBytes,
  { clusterId, members, revisionStep, onProgress }: RestoreRequest,
): Promise<Restored> {
  const snapshot = await BackupSnapshot.open(source, onProgress);
  const { configurations, appliedThrough } = snapshot.header.head;
  const latest = configurations.at(-1)?.configuration;
  if (latest === undefined)
    throw new BackupError('bad-request', 'the backup is of a cluster without members');
  const cluster = await seedDirectories(directory, {
    clusterId,
    members,
    slot: appliedThrough + SLOT_STEP,
    snapshot,
    revisionStep,
    alpha: latest.alpha,
    acceptQuorum: 0,
  });
  return { backup: snapshot.finished(), cluster };
}

/** The stream of a snapshot, as the backup has it. Its end is said only when the whole backup was checked. */
class BackupSnapshot {
  private checked: CheckedBackup | null = null;
  private stage: 'head' | 'records' | 'through' = 'head';

  private constructor(
    readonly header: BackupHeader,
    private readonly decoder: BackupDecoder,
    private readonly chunks: Buffer[],
    private readonly source: AsyncIterator<Uint8Array>,
    private readonly onProgress: BackupProgress | undefined,
  ) {}

  /** Reads as far as its header. @throws BackupError */
  static async open(source: BackupBytes, onProgress: BackupProgress | undefined): Promise<BackupSnapshot> {
    const decoder = new BackupDecoder();
    const iterator = source[Symbol.asyncIterator]();
    const chunks: Buffer[] = [];
    while (decoder.header === null) {
      const { value, done } = await iterator.next();
      if (done === true) {
        decoder.finish();
        throw damagedBackup('it has no header');
      }
      chunks.push(...decoder.push(asBuffer(value)));
    }
    return new BackupSnapshot(decoder.header, decoder, chunks, iterator, onProgress);
  }

  next(_bytesMax: number, done: Done<Uint8Array | null>): void {
    this.nextChunk().then(
      (chunk) => done(null, chunk),
      (error: unknown) => done(error instanceof Error ? error : damagedBackup(String(error)), null),
    );
  }

  close(): void {
    this.stage = 'through';
    // What it is read from may have failed already, and has said so.
    this.source.return?.().catch(() => {});
  }

  /** @throws BackupError it was not read to its end */
  finished(): CheckedBackup {
    return this.checked ?? this.decoder.finish();
  }

  private async nextChunk(): Promise<Uint8Array | null> {
    if (this.stage === 'through') return null;
    if (this.stage === 'head') {
      this.stage = 'records';
      return encodeItem({ type: 'head', head: this.header.head });
    }
    for (;;) {
      const chunk = this.chunks.shift();
      if (chunk !== undefined) return chunk;
      const { value, done } = await this.source.next();
      if (done === true) break;
      this.chunks.push(...this.decoder.push(asBuffer(value)));
      this.onProgress?.(this.decoder.keys, this.header.head.keys);
    }
    this.checked = this.decoder.finish();
    this.stage = 'through';
    return encodeItem({ type: 'end', records: this.checked.records });
  }
}
