/**
 * Opens the data directory as the options say, and works out from it who this replica and its peers are. Errors become
 * exit codes here; whatever was set aside or dropped at this start is said loudly here. What a directory holds, and
 * when it is damaged, is @kvd/store's to know.
 */
import type { Trace } from '@kvd/replica';
import { DirectoryError, type DirectoryErrorKind, type OpenedDirectory, openDirectory } from '@kvd/store';
import { type PeerAddress, parsePeers } from './addresses.js';
import { EXIT, type ExitCode, StartError } from './exit-codes.js';
import { describePeers, type KvdOptions } from './options.js';

export interface DataDirectory {
  readonly opened: OpenedDirectory;
  /** The founding members, sorted by id, with the addresses that --peers gives today. */
  readonly members: readonly PeerAddress[];
  /** Own HOST:PORT, as peers and clients reach it. */
  readonly address: string;
}

const EXIT_OF: Readonly<Record<DirectoryErrorKind, ExitCode>> = {
  foreign: EXIT.directory,
  locked: EXIT.directory,
  'newer-format': EXIT.directory,
  'founding-differs': EXIT.badUsage,
  'founding-missing': EXIT.badUsage,
  removed: EXIT.removed,
  io: EXIT.storage,
};

/** @throws StartError */
export async function openDataDirectory(options: KvdOptions, trace: Trace): Promise<DataDirectory> {
  const founding = options.peers === null ? null : describePeers(options.peers);
  const opened = await openDirectory(options.dataDirectory, { replicaId: options.id, founding }).catch(
    (error: unknown) => {
      throw startError(error, options);
    },
  );
  for (const what of opened.setAside) warnLoudly(options, what, trace);
  if (opened.isNew) trace.event('info', 'directory-formatted', { ...opened.identity });
  const members = options.peers ?? parsePeers(opened.foundingList);
  const own = members.find((member) => member.id === options.id);
  if (own === undefined) {
    await opened.close();
    throw new StartError(EXIT.badUsage, `the founding members do not list replica ${options.id}`);
  }
  return { opened, members, address: own.address };
}

function startError(error: unknown, options: KvdOptions): StartError {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof DirectoryError)) {
    return new StartError(EXIT.storage, `the data directory cannot be used: ${reason}`, { cause: error });
  }
  const hint =
    error.kind === 'founding-missing' ? ` (--peers; the directory is ${options.dataDirectory})` : '';
  return new StartError(EXIT_OF[error.kind], `${reason}${hint}`, { cause: error });
}

/** In the log, and for whoever reads no JSON. */
function warnLoudly(options: KvdOptions, what: string, trace: Trace): void {
  trace.event('warn', 'directory-set-aside', { what });
  process.stderr.write(`kvd: WARNING: replica ${options.id}, ${options.dataDirectory}: ${what}\n`);
}
