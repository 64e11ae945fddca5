/**
 * The identity of a data directory, as a small JSON file written last when the directory is formatted. It carries a
 * checksum, so that a flipped bit is damage and not another replica.
 */
import type { ClusterId, Identity } from '@kvd/paxos';
import { crc32 } from 'node:zlib';
import { damaged } from './errors.js';

export const FORMAT_VERSION = 6;
/**
 * The oldest that is still read. From 2 to 3: values may lie apart (kv-record.ts). From 3 to 4: the state's head names a leader
 * (state-records.ts). From 4 to 5: versions of the past lie in spans (version-spans.ts). From 5 to 6: values that lie apart have a
 * database of their own (state-store.ts). So nothing on disk has to change.
 */
export const OLDEST_FORMAT = 2;

export interface DirectoryIdentity extends Identity {
  readonly format: number;
  /** Empty until it is known. */
  readonly clusterId: ClusterId;
  /** `ID=HOST:PORT,…` sorted by id, as given when the directory was formatted; empty: joined a founded cluster. */
  readonly founding: string;
  /** False once a directory was set aside, and for who joined. */
  readonly mayFound: boolean;
  /** Its replica keeps no state. Written only where it does not, so that a file without it says: it does. */
  readonly witness: boolean;
}

export function encodeIdentity(identity: DirectoryIdentity): string {
  const said = ordered(identity);
  return `${JSON.stringify({ ...said, check: checkOf(said) })}\n`;
}

/** @throws StoreError damaged. One of a newer format is returned as it is, if it can be read that far. */
export function decodeIdentity(text: string): DirectoryIdentity {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw damaged('the identity file is not JSON');
  }
  if (!isRecord(parsed)) throw damaged('the identity file is no identity');
  const { format, replicaId, incarnation, clusterId, founding, mayFound, witness = false, check } = parsed;
  if (
    typeof format !== 'number' ||
    typeof replicaId !== 'number' ||
    typeof incarnation !== 'string' ||
    typeof clusterId !== 'string' ||
    typeof founding !== 'string' ||
    typeof mayFound !== 'boolean' ||
    typeof witness !== 'boolean'
  ) {
    throw damaged('the identity file lacks something');
  }
  const { check: _, ...checked } = parsed;
  if (check !== checkOf(checked)) throw damaged('the identity file fails its checksum');
  return { format, replicaId, incarnation, clusterId, founding, mayFound, witness };
}

function ordered({
  format,
  replicaId,
  incarnation,
  clusterId,
  founding,
  mayFound,
  witness,
}: DirectoryIdentity): object {
  const always = { format, replicaId, incarnation, clusterId, founding, mayFound };
  return witness ? { ...always, witness } : always;
}

/** Over all that the file says, in its order. Later formats keep to it, so that one of them can be told from damage. */
function checkOf(said: object): string {
  return crc32(JSON.stringify(said)).toString(16).padStart(8, '0');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
