/** What kvctl says of a backup and of a cluster made of one: as JSON, and for people. */
import type { CheckedBackup, SeededCluster } from '@kvd/store';
import Table from 'cli-table3';

/** The one object of `snapshot save` and `snapshot status`. */
export function backupJson({ header, ...found }: CheckedBackup): Record<string, unknown> {
  const { clusterId, replicaId, wallMs, compactRevision, head } = header;
  return {
    whole: true,
    clusterId,
    replica: replicaId,
    takenAt: new Date(wallMs).toISOString(),
    slot: head.appliedThrough,
    revision: head.revision,
    compactRevision,
    keys: head.keys,
    sessions: found.sessions,
    leases: found.leases,
    idempotencyKeys: found.idempotencyKeys,
    stateHash: head.runningHash.toString(),
    contentHash: head.contentHash.toString(),
    members: (head.configurations.at(-1)?.configuration.members ?? []).map((member) => ({
      id: member.replicaId,
      address: member.address,
      role: member.role,
    })),
    bytes: found.bytes,
  };
}

export function clusterJson(cluster: SeededCluster): Record<string, unknown> {
  const { clusterId, slot, revision, compactRevision, keys, stateHash, contentHash, directories } = cluster;
  return {
    clusterId,
    slot,
    revision,
    compactRevision,
    keys,
    stateHash,
    contentHash,
    directories: directories.map(({ replicaId, incarnation, path }) => ({
      id: replicaId,
      incarnation,
      path,
    })),
  };
}

/** A row per field; lists as their length. */
export function tableOf(fields: Readonly<Record<string, unknown>>): string {
  const table = new Table({ style: { head: [], border: [] } });
  for (const [name, value] of Object.entries(fields)) {
    const cell = Array.isArray(value) ? value.map((each) => addressOf(each)).join('\n') : String(value);
    table.push({ [name]: cell });
  }
  return table.toString();
}

function addressOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.values(value).join(' ');
}
