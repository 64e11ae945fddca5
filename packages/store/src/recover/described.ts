/** What a slot's value would do, for people who have to judge what is kept and what may be lost: who, which keys. Pure. */
import type { Value } from '@kvd/paxos';
import type { Command, TxnCommand } from '@kvd/protocol';
import { type Decoded, decodeSlot, type PlainCommand } from '../batches.js';

export interface DescribedCommand {
  readonly type: Command['type'] | 'unreadable';
  /** 0: none. */
  readonly session: number;
  readonly sequence: number;
  /** Empty: none. */
  readonly idempotencyKey: Uint8Array;
  readonly principal: string;
  /** That it may change or, in a transaction, looks at; of a range its bounds. */
  readonly keys: readonly Uint8Array[];
}

export interface DescribedValue {
  readonly type: Value['type'];
  /** At its leader; null: a value without a time. */
  readonly wallMs: number | null;
  readonly commands: readonly DescribedCommand[];
}

const NOTHING = new Uint8Array(0);

export function describeValue(value: Value): DescribedValue {
  if (value.type !== 'batch') return { type: value.type, wallMs: null, commands: [] };
  const { wallMs, commands } = decodeSlot(value.bytes);
  return { type: 'batch', wallMs, commands: commands.map((command) => describe(command, NOTHING)) };
}

function describe(decoded: Decoded, idempotencyKey: Uint8Array): DescribedCommand {
  switch (decoded.type) {
    case 'keyed':
      return describe(decoded.inner, decoded.idempotencyKey);
    case 'error':
      return {
        type: 'unreadable',
        session: 0,
        sequence: 0,
        idempotencyKey,
        principal: '',
        keys: [],
      };
    case 'plain': {
      const { command, principal } = decoded;
      return {
        type: command.type,
        ...originOf(command),
        idempotencyKey,
        principal,
        keys: keysOf(command),
      };
    }
  }
}

function originOf(command: PlainCommand): { readonly session: number; readonly sequence: number } {
  if ('origin' in command) return { session: command.origin.session, sequence: command.origin.sequence };
  if ('session' in command) return { session: command.session, sequence: 0 };
  return { session: 0, sequence: 0 };
}

function keysOf(command: PlainCommand): readonly Uint8Array[] {
  switch (command.type) {
    case 'put':
    case 'delete':
      return [command.key];
    case 'delete-range':
      return [command.from, command.to];
    case 'txn':
      return txnKeys(command);
    default:
      return [];
  }
}

function txnKeys({ compares, success, failure }: TxnCommand): readonly Uint8Array[] {
  const keys: Uint8Array[] = compares.map(({ key }) => key);
  for (const operation of [...success, ...failure]) {
    if (operation.type === 'delete-range') keys.push(operation.from, operation.to);
    else keys.push(operation.key);
  }
  const distinct = new Map(keys.map((key) => [Buffer.from(key).toString('latin1'), key]));
  return [...distinct.values()];
}
