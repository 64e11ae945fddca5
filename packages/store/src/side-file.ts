/**
 * The side file: the number of the marker last acknowledged, so that a log that lost its tail is noticed (DESIGN 5).
 * Two preallocated sectors with CRCs, written in turn and in place, after the log's sync and before any answer. Only
 * the format of a directory syncs it: it may lag behind the log, and must never lead it.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { readU53, U53_BYTES, writeU53 } from './bytes.js';
import { damaged } from './errors.js';

const SECTOR_BYTES = 512;
const SIDE_FILE_BYTES = 2 * SECTOR_BYTES;
const MAGIC = Buffer.from('KVDS');
const VERSION = 1;
const NUMBER_OFFSET = MAGIC.length + 1;
const CRC_OFFSET = NUMBER_OFFSET + U53_BYTES;

export interface SideFile {
  /** Synchronous: a write into the page cache. Throws when the file system refuses. */
  write(marker: number): void;
  /** @throws StoreError damaged: neither sector is valid */
  read(): number;
  close(): void;
}

/** What a newly formatted directory's side file holds. */
export function formatSide(marker: number): Buffer {
  return Buffer.concat([encodeSector(marker), encodeSector(marker)]);
}

/**
 * The number in the bytes of a side file: the higher one of its valid sectors.
 * @throws StoreError damaged: neither is valid
 */
export function decodeSide(bytes: Buffer): number {
  const numbers = [decodeSector(bytes, 0), decodeSector(bytes, SECTOR_BYTES)].filter((n) => n !== null);
  if (numbers.length === 0) throw damaged('neither sector of the side file is valid');
  return Math.max(...numbers);
}

export class DiskSideFile implements SideFile {
  private readonly fd: number;
  private readonly sector = Buffer.alloc(SECTOR_BYTES);

  constructor(path: string) {
    this.fd = openSync(path, 'r+');
  }

  write(marker: number): void {
    fillSector(this.sector, marker);
    writeSync(this.fd, this.sector, 0, SECTOR_BYTES, sectorOffset(marker));
  }

  read(): number {
    const bytes = Buffer.alloc(SIDE_FILE_BYTES);
    readSync(this.fd, bytes, 0, SIDE_FILE_BYTES, 0);
    return decodeSide(bytes);
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** The memory twin; `bytes` outlives a crash of the process that holds it, as the page cache does. */
export class MemorySideFile implements SideFile {
  bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  write(marker: number): void {
    encodeSector(marker).copy(this.bytes, sectorOffset(marker));
  }

  read(): number {
    return decodeSide(this.bytes);
  }

  close(): void {}
}

/** Consecutive numbers go to different sectors, so a torn write leaves the one before. */
function sectorOffset(marker: number): number {
  return (marker % 2) * SECTOR_BYTES;
}

function encodeSector(marker: number): Buffer {
  return fillSector(Buffer.alloc(SECTOR_BYTES), marker);
}

function fillSector(sector: Buffer, marker: number): Buffer {
  MAGIC.copy(sector);
  sector.writeUInt8(VERSION, MAGIC.length);
  writeU53(sector, marker, NUMBER_OFFSET);
  sector.writeUInt32BE(crc32(sector.subarray(0, CRC_OFFSET)), CRC_OFFSET);
  return sector;
}

function decodeSector(bytes: Buffer, offset: number): number | null {
  if (bytes.length < offset + SECTOR_BYTES) return null;
  const sector = bytes.subarray(offset, offset + SECTOR_BYTES);
  if (!sector.subarray(0, MAGIC.length).equals(MAGIC) || sector.readUInt8(MAGIC.length) !== VERSION)
    return null;
  if (sector.readUInt32BE(CRC_OFFSET) !== crc32(sector.subarray(0, CRC_OFFSET))) return null;
  return readU53(sector, NUMBER_OFFSET);
}
