/**
 * Where a backup is written to: a file, which is there whole or not at all, or stdout. A file is written under another
 * name beside it, synced, and renamed when it is whole; its owner alone may read it, for it holds all that the cluster does.
 */
import { existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { reasonOf, refused, usage } from './errors.js';
import type { Output } from './output.js';

export interface BackupSink {
  write(bytes: Buffer): Promise<void>;
  /** All was written, and is whole. */
  commit(): Promise<void>;
  /** Begin anew; false: what was written cannot be taken back. */
  restart(): Promise<boolean>;
  /** What was written is not to be kept. */
  discard(): Promise<void>;
}

const MODE = 0o600;

/** @throws CliError refused when the file is there and is not to be replaced, usage when it cannot be written */
export async function openSink(file: string, overwrite: boolean, out: Output): Promise<BackupSink> {
  if (file === '-') return new StdoutSink(out);
  const refuseExisting = (): void => {
    if (!overwrite && existsSync(file)) throw refused(`${file} exists; --overwrite replaces it`);
  };
  refuseExisting();
  const partial = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.partial`);
  return new FileSink(file, partial, await openNew(file, partial), refuseExisting);
}

async function openNew(file: string, partial: string): Promise<FileHandle> {
  try {
    // Left by a process of the same number that was killed.
    await rm(partial, { force: true });
    return await open(partial, 'wx', MODE);
  } catch (error) {
    throw usage(`cannot write ${file}: ${reasonOf(error)}`);
  }
}

class FileSink implements BackupSink {
  private length = 0;

  constructor(
    private readonly file: string,
    private readonly partial: string,
    private readonly handle: FileHandle,
    private readonly refuseExisting: () => void,
  ) {}

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.handle.write(bytes, at, bytes.length - at, this.length);
      at += bytesWritten;
      this.length += bytesWritten;
    }
  }

  async restart(): Promise<boolean> {
    await this.handle.truncate(0);
    this.length = 0;
    return true;
  }

  async commit(): Promise<void> {
    await this.handle.sync();
    await this.handle.close();
    this.refuseExisting();
    await rename(this.partial, this.file);
    const directory = await open(path.dirname(this.file), 'r');
    await directory.sync();
    await directory.close();
  }

  async discard(): Promise<void> {
    // Closed already if the commit was refused.
    await this.handle.close().catch(() => undefined);
    await rm(this.partial, { force: true });
  }
}

class StdoutSink implements BackupSink {
  constructor(private readonly out: Output) {}

  write(bytes: Buffer): Promise<void> {
    return this.out.write(bytes);
  }

  async commit(): Promise<void> {}

  async restart(): Promise<boolean> {
    return false;
  }

  async discard(): Promise<void> {}
}
