/** Reads the members of a new cluster as kvd's --peers lists them: ID=HOST:PORT,…, the entry of a witness with /witness. */
import { ADDRESS_BYTES_MAX, MEMBERS_MAX, WITNESS_SUFFIX } from '@kvd/protocol';
import type { SeedMember } from '@kvd/store';
import { usage } from './errors.js';

const ID_MAX = 2 ** 31 - 1;
const ENTRY = /^(\d{1,10})=([^\s,/=]+):(\d{1,5})$/;

/** Sorted by id. @throws CliError usage, naming the entry that is wrong */
export function parseMembers(text: string): SeedMember[] {
  const members = text.split(',').map((part) => parseMember(part.trim()));
  if (members.length > MEMBERS_MAX) throw usage(`--peers: at most ${MEMBERS_MAX} members are possible`);
  for (const [i, { replicaId, address }] of members.entries()) {
    const twin = members.find(
      (other, j) => j < i && (other.replicaId === replicaId || other.address === address),
    );
    if (twin !== undefined)
      throw usage(
        `--peers: ${replicaId}=${address} and ${twin.replicaId}=${twin.address} contradict each other`,
      );
  }
  return members.sort((a, b) => a.replicaId - b.replicaId);
}

function parseMember(part: string): SeedMember {
  const isWitness = part.endsWith(WITNESS_SUFFIX);
  const match = ENTRY.exec(isWitness ? part.slice(0, -WITNESS_SUFFIX.length) : part);
  const [, id = '', host = '', port = ''] = match ?? [];
  const replicaId = Number(id);
  const isPort = Number(port) >= 1 && Number(port) <= 65_535;
  if (
    match === null ||
    replicaId < 1 ||
    replicaId > ID_MAX ||
    !isPort ||
    Buffer.byteLength(host) > ADDRESS_BYTES_MAX - 6
  )
    throw usage(`--peers: '${part}' is no ID=HOST:PORT`);
  return { replicaId, address: `${host}:${Number(port)}`, role: isWitness ? 'witness' : 'voter' };
}
