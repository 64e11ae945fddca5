/**
 * Short words for the data of the core, so that a test reads as its situation: `ballot(3, 1)` is what people write as
 * 3.1, `at(5, ballot(3, 1), 'x')` an entry of slot 5. Nothing here decides or checks anything.
 */
import type {
  Ballot,
  Configuration,
  ConfigurationAt,
  Identity,
  Incarnation,
  LogEntry,
  MemberRole,
  RecoveredLog,
  ReplicaId,
  Slot,
  Value,
} from '../../src/types.js';
import { ZERO_BALLOT } from '../../src/ballot.js';

export const CLUSTER_ID = 'c'.repeat(32);
export const NOOP: Value = { type: 'noop' };

/** The incarnation of `replica` after its disk was lost `life` times. */
export function incarnation(replica: ReplicaId, life = 0): Incarnation {
  return `${replica}`.padStart(16, '0') + `${life}`.padStart(16, '0');
}

export function identity(replica: ReplicaId, life = 0): Identity {
  return { replicaId: replica, incarnation: incarnation(replica, life) };
}

export function ballot(counter: number, replica: ReplicaId, life = 0): Ballot {
  return { counter, replicaId: replica, incarnation: incarnation(replica, life) };
}

/** A batch whose bytes are these characters. */
export function batch(text: string): Value {
  return { type: 'batch', bytes: Uint8Array.from(text, (c) => c.charCodeAt(0)) };
}

/** A value in a few characters, equal exactly when the values are. */
export function textOf(value: Value): string {
  switch (value.type) {
    case 'noop':
      return 'noop';
    case 'batch':
      return `batch ${String.fromCharCode(...value.bytes)}`;
    case 'configuration': {
      const { members, replaces, alpha, acceptQuorum } = value.configuration;
      const names = members.map((m) => `${m.replicaId}/${m.incarnation.slice(-3)}/${m.role}`);
      return `configuration ${names.join(' ')} replaces ${replaces} alpha ${alpha} accept ${acceptQuorum}`;
    }
  }
}

export function at(slot: Slot, under: Ballot, value: Value | string, chosen = false): LogEntry {
  return { slot, ballot: under, value: typeof value === 'string' ? batch(value) : value, chosen };
}

export interface ConfigurationParts {
  readonly alpha?: number;
  readonly replaces?: Slot;
  readonly acceptQuorum?: number;
  readonly roles?: Readonly<Record<number, MemberRole>>;
  /** How often the member's disk was lost. */
  readonly lives?: Readonly<Record<number, number>>;
}

export function configuration(ids: readonly ReplicaId[], parts: ConfigurationParts = {}): Configuration {
  return {
    clusterId: CLUSTER_ID,
    alpha: parts.alpha ?? 8,
    replaces: parts.replaces ?? 0,
    members: ids.map((id) => ({
      ...identity(id, parts.lives?.[id] ?? 0),
      role: parts.roles?.[id] ?? 'voter',
      address: `replica-${id}:15000`,
    })),
    acceptQuorum: parts.acceptQuorum ?? 0,
  };
}

export function configurationValue(ids: readonly ReplicaId[], parts: ConfigurationParts = {}): Value {
  return { type: 'configuration', configuration: configuration(ids, parts) };
}

/** What the disk of a replica says that was just formatted, with what `parts` change of it. */
export function recovered(replica: ReplicaId, parts: Partial<RecoveredLog> = {}): RecoveredLog {
  return {
    identity: identity(replica),
    marker: 0,
    promised: ZERO_BALLOT,
    chosenThrough: 0,
    cutThrough: 0,
    configurations: [],
    accepted: [],
    ...parts,
  };
}

/** The disk of a member of a cluster that was founded by `ids` and knows slots 1 to `chosenThrough`. */
export function member(
  replica: ReplicaId,
  ids: readonly ReplicaId[],
  parts: Partial<RecoveredLog> & { readonly alpha?: number } = {},
): RecoveredLog {
  const { alpha, ...rest } = parts;
  const founding: ConfigurationAt = { slot: 1, configuration: configuration(ids, { alpha: alpha ?? 8 }) };
  return recovered(replica, { chosenThrough: 1, configurations: [founding], marker: 1, ...rest });
}

/** xorshift32: from 0 inclusive to 1; the same seed gives the same numbers on every machine. */
export function seededRandom(seed: number): () => number {
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 4294967296;
  };
}
