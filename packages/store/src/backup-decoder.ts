/**
 * Reads a backup as its bytes come, from a file or a replica, and believes nothing: each block and each record by its
 * checksum, the whole by the trailer's hash and the content hash. It holds no more than a block.
 *
 * What it hands on before `finish` returned is checked piece by piece only: whoever does something with it must be able
 * to undo it.
 */
import { createHash } from 'node:crypto';
import {
  BACKUP_MAGIC,
  BLOCK_HEADER_BYTES,
  type BackupHeader,
  type Block,
  blockLength,
  damagedBackup,
  decodeBackupHeader,
  decodeBlock,
  decodeTrailer,
} from './backup-format.js';
import { BackupError } from './backup-errors.js';
import { decodeChunk } from './snapshot.js';
import { StateRecords } from './state-loader.js';
import { isPresent } from './state-records.js';

/** A backup that was read to its end and is whole. */
export interface CheckedBackup {
  readonly header: BackupHeader;
  readonly records: number;
  readonly bytes: number;
  readonly sessions: number;
  readonly leases: number;
  readonly idempotencyKeys: number;
}

export class BackupDecoder {
  /** Null: it has not come yet. */
  header: BackupHeader | null = null;
  private readonly hash = createHash('sha256');
  private readonly state = new StateRecords();
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  /** Nothing can be read before so many bytes are there. */
  private wanted = BACKUP_MAGIC.length;
  private magicRead = false;
  private through = false;
  private records = 0;
  private bytes = 0;

  /** Keys read so far. */
  get keys(): number {
    return this.state.keys;
  }

  /** The blocks of records that are whole with these bytes: parts of a snapshot's stream. @throws BackupError */
  push(bytes: Buffer): Buffer[] {
    this.bytes += bytes.length;
    this.pending.push(bytes);
    this.pendingBytes += bytes.length;
    if (this.pendingBytes < this.wanted) return [];
    const all = this.pending.length === 1 ? bytes : Buffer.concat(this.pending);
    const chunks: Buffer[] = [];
    const rest = this.read(all, chunks);
    this.pending = rest.length === 0 ? [] : [rest];
    this.pendingBytes = rest.length;
    return chunks;
  }

  /** There are no more bytes. @throws BackupError damaged: it is cut short */
  finish(): CheckedBackup {
    const { header } = this;
    if (!this.magicRead) throw notABackup();
    if (header === null || !this.through) throw damagedBackup('it is cut short');
    const { sessions, idempotency, leases } = this.state;
    return {
      header,
      records: this.records,
      bytes: this.bytes,
      sessions: sessions.size,
      leases: leases.size,
      idempotencyKeys: idempotency.size,
    };
  }

  /** Takes the blocks that are whole, and returns what is left. */
  private read(all: Buffer, chunks: Buffer[]): Buffer {
    let at = 0;
    if (!this.magicRead) {
      if (!all.subarray(0, BACKUP_MAGIC.length).equals(BACKUP_MAGIC)) throw notABackup();
      this.magicRead = true;
      this.hash.update(BACKUP_MAGIC);
      at = BACKUP_MAGIC.length;
    }
    for (;;) {
      const rest = all.subarray(at);
      if (this.through && rest.length > 0) throw damagedBackup('it goes on after its end');
      const length = blockLength(rest);
      if (length === null || rest.length < length) {
        this.wanted = length ?? BLOCK_HEADER_BYTES;
        return rest;
      }
      const bytes = rest.subarray(0, length);
      this.take(decodeBlock(bytes), bytes, chunks);
      at += length;
    }
  }

  private take({ kind, body }: Block, bytes: Buffer, chunks: Buffer[]): void {
    if ((this.header === null) !== (kind === 'header'))
      throw damagedBackup('a backup begins with its header, and has one');
    switch (kind) {
      case 'header':
        this.header = decodeBackupHeader(body);
        break;
      case 'records':
        this.takeRecords(body);
        chunks.push(body);
        break;
      case 'trailer':
        return this.takeTrailer(body);
    }
    this.hash.update(bytes);
  }

  private takeRecords(body: Buffer): void {
    try {
      for (const item of decodeChunk(body)) {
        if (item.type !== 'record' || !isPresent(item.key))
          throw damagedBackup('something that is no record of the state');
        this.state.add(item.key, item.record);
        this.records += 1;
      }
    } catch (error) {
      throw asDamage(error);
    }
  }

  private takeTrailer(body: Buffer): void {
    const { records, keys, sha256 } = decodeTrailer(body);
    if (records !== this.records || keys !== this.state.keys)
      throw damagedBackup(`${records} records were written, ${this.records} are there`);
    if (!sha256.equals(this.hash.digest())) throw damagedBackup('its bytes are not those that were written');
    try {
      if (this.header !== null) this.state.check(this.header.head);
      this.state.finish();
    } catch (error) {
      throw asDamage(error);
    }
    this.through = true;
  }
}

function notABackup(): BackupError {
  return new BackupError('no-backup', 'this is no backup of kvd, or not even its beginning');
}

function asDamage(error: unknown): BackupError {
  if (error instanceof BackupError) return error;
  return damagedBackup(error instanceof Error ? error.message : String(error));
}
