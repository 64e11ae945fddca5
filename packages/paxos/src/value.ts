/** Are two values the same? Asked where a proposer has to notice that another ballot won a slot of its own. */
import type { Configuration, Value } from './types.js';

export function sameValue(a: Value, b: Value): boolean {
  if (a === b) return true;
  switch (a.type) {
    case 'noop':
      return b.type === 'noop';
    case 'batch':
      return b.type === 'batch' && sameBytes(a.bytes, b.bytes);
    case 'configuration':
      return b.type === 'configuration' && sameConfiguration(a.configuration, b.configuration);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return (
    a.clusterId === b.clusterId &&
    a.alpha === b.alpha &&
    a.replaces === b.replaces &&
    a.acceptQuorum === b.acceptQuorum &&
    a.members.length === b.members.length &&
    a.members.every((member, i) => {
      const other = b.members[i];
      return (
        other?.replicaId === member.replicaId &&
        other.incarnation === member.incarnation &&
        other.role === member.role &&
        other.promoteTo === member.promoteTo &&
        other.replaces === member.replaces &&
        other.address === member.address
      );
    })
  );
}
