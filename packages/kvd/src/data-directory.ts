/**
 * Opens the data directory as the options say, and works out from it who this replica is, and whom it is to talk to.
 * Errors become exit codes here; whatever was set aside or dropped at this start is said loudly here. What a directory
 * holds, and when it is damaged, is @kvd/store's to know.
 */
import type { FoundingReplica, Trace } from '@kvd/replica';
import { DirectoryError, type DirectoryErrorKind, type OpenedDirectory, openDirectory } from '@kvd/store';
import { describePeers, type PeerAddress, parsePeers } from './addresses.js';
import { EXIT, type ExitCode, StartError } from './exit-codes.js';
import { askAll, type Cluster, findCluster } from './joining.js';
import { addressIn, type KvdOptions } from './options.js';

export interface DataDirectory {
  readonly opened: OpenedDirectory;
  /** Sorted by id, with the addresses that this start gives; null: others founded the cluster. */
  readonly founding: readonly FoundingReplica[] | null;
  /** Others to ask while no configuration is known. Where they were just asked for, they go before the founding list. */
  readonly contacts: readonly PeerAddress[];
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

/**
 * Who joins for the first time is kept waiting until the cluster is found.
 * @throws StartError
 */
export async function openDataDirectory(options: KvdOptions, trace: Trace): Promise<DataDirectory> {
  const { id: replicaId, peers, join, witness } = options;
  const founding = peers !== null ? describePeers(peers) : join !== null ? '' : null;
  const request = { replicaId, founding, ...(witness !== null && { witness }) };
  const opened = await openDirectory(options.dataDirectory, request).catch((error: unknown) => {
    throw startError(error, options);
  });
  for (const what of opened.setAside) warnLoudly(options, what, trace);
  if (opened.isNew) trace.event('info', 'directory-formatted', { ...opened.identity });
  try {
    return await introduce(opened, options, trace);
  } catch (error) {
    await opened.close();
    throw error instanceof DirectoryError ? startError(error, options) : error;
  }
}

async function introduce(opened: OpenedDirectory, options: KvdOptions, trace: Trace): Promise<DataDirectory> {
  const { foundingList, identity } = opened;
  const { id } = options;
  const written = foundingList === '' ? null : parsePeers(foundingList);
  const known = opened.log.recovered.configurations.at(-1)?.configuration.members ?? [];
  const address =
    options.address ??
    written?.find((founder) => founder.id === id)?.address ??
    addressIn(options.listen) ??
    known.find((member) => member.replicaId === id)?.address;
  if (address === undefined) {
    const why =
      written === null ? 'it is in no configuration known here' : 'the founding members do not list it';
    throw new StartError(
      EXIT.badUsage,
      `the address of replica ${id} is not known, for ${why}: give --advertise`,
    );
  }
  const founding = written?.map((founder) => ({
    ...founder,
    address: founder.id === id ? address : addressToday(founder, options),
    written: founder.address,
  }));
  const cluster = await clusterToJoin(options, written !== null || known.length > 0, trace);
  if (cluster !== null) {
    opened.setClusterId(cluster.clusterId);
    trace.event('info', 'cluster-found', { ...cluster });
    const namesake = cluster.members.find((member) => member.id === id);
    if (namesake?.connected && namesake.incarnation !== identity.incarnation) {
      const reason = 'another process with the number of this replica is a member, and answers';
      trace.event('warn', 'number-in-use', { ...namesake, reason });
    }
  }
  const asKnown = written === null ? known.map((member) => ({ ...member, id: member.replicaId })) : [];
  const contacts = (cluster?.members ?? asKnown)
    .filter((member) => member.id !== id)
    .map((member) => ({ id: member.id, address: member.address }));
  return { opened, founding: founding ?? null, contacts, address };
}

function addressToday(founder: PeerAddress, { peers }: KvdOptions): string {
  return peers?.find((peer) => peer.id === founder.id)?.address ?? founder.address;
}

/**
 * Who knows somebody to talk to does not wait: should all be started at once, with --join as at their first start, none
 * could say anything to the others before it has started itself.
 */
async function clusterToJoin(
  { join, dataDirectory }: KvdOptions,
  knowsSomebody: boolean,
  trace: Trace,
): Promise<Cluster | null> {
  if (join === null) {
    if (knowsSomebody) return null;
    const message = `${dataDirectory} joined a cluster and knows none of its members yet: --join must be given again`;
    throw new StartError(EXIT.badUsage, message);
  }
  trace.event('info', 'joining', { asked: join });
  if (!knowsSomebody) return findCluster(join, trace);
  return askAll(join, (address, reason) => trace.event('info', 'join-unanswered', { address, reason }));
}

function startError(error: unknown, options: KvdOptions): StartError {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof DirectoryError)) {
    return new StartError(EXIT.storage, `the data directory cannot be used: ${reason}`, { cause: error });
  }
  const hint =
    error.kind === 'founding-missing'
      ? ` (--peers; or --join, for a cluster that others founded; the directory is ${options.dataDirectory})`
      : '';
  return new StartError(EXIT_OF[error.kind], `${reason}${hint}`, { cause: error });
}

/** In the log, and for whoever reads no JSON. */
function warnLoudly(options: KvdOptions, what: string, trace: Trace): void {
  trace.event('warn', 'directory-set-aside', { what });
  process.stderr.write(`kvd: WARNING: replica ${options.id}, ${options.dataDirectory}: ${what}\n`);
}
