/**
 * A slot's batch, decoded for apply. Total: what cannot be decoded becomes the error result that every replica gives.
 */
import {
  type Command,
  type CommandResult,
  decodeBatch,
  decodeCommand,
  KvdError,
  type LeaderBallot,
  NO_LEADER,
  type TxnOperation,
} from '@kvd/protocol';

/** A command with who did it and why, the error that stands for it, or a keyed command with what is in it. */
export type Decoded =
  | {
      readonly type: 'plain';
      readonly command: PlainCommand;
      /** As the client says; empty: not said. */
      readonly principal: string;
      readonly reason: string;
    }
  | {
      readonly type: 'keyed';
      readonly idempotencyKey: Uint8Array;
      readonly bytes: Uint8Array;
      readonly inner: Decoded;
    }
  | { readonly type: 'error'; readonly result: Failure };

export type PlainCommand = Exclude<Command, { type: 'keyed' | 'noted' }>;
type Failure = Extract<CommandResult, { type: 'error' }>;

export interface DecodedBatch {
  readonly ballot: LeaderBallot;
  readonly clusterMs: number;
  readonly wallMs: number;
  readonly commands: readonly Decoded[];
}

/** A range to delete: a command of its own, or one of a transaction's operations. */
export type RangeDelete =
  | Extract<Command, { type: 'delete-range' }>
  | Extract<TxnOperation, { type: 'delete-range' }>;

/** What a slot without a batch does. */
export const NO_BATCH: DecodedBatch = { ballot: NO_LEADER, clusterMs: 0, wallMs: 0, commands: [] };

/** Bytes that are no batch do nothing, and have no results. */
export function decodeSlot(bytes: Uint8Array): DecodedBatch {
  try {
    const { ballot, clusterMs, wallMs, commands } = decodeBatch(bytes);
    return { ballot, clusterMs, wallMs, commands: commands.map((command) => decode(command)) };
  } catch (error) {
    if (error instanceof KvdError) return NO_BATCH;
    throw error;
  }
}

/** The range deletions in a command, of either branch if it is a transaction. */
export function rangesOf(decoded: Decoded): readonly RangeDelete[] {
  if (decoded.type === 'error') return [];
  if (decoded.type === 'keyed') return rangesOf(decoded.inner);
  return rangesIn(decoded.command);
}

export function rangesIn(command: PlainCommand): readonly RangeDelete[] {
  if (command.type === 'delete-range') return [command];
  if (command.type !== 'txn') return [];
  return [...command.success, ...command.failure].filter((operation) => operation.type === 'delete-range');
}

export function errorResult(code: KvdError['code'], message: string): Failure {
  return { type: 'error', code, message };
}

function decode(bytes: Uint8Array, principal = '', reason = ''): Decoded {
  try {
    const command = decodeCommand(bytes);
    // The decoder bounds the nesting: keyed, noted, plain.
    if (command.type === 'keyed') {
      const { idempotencyKey, command: inner } = command;
      return { type: 'keyed', idempotencyKey, bytes: inner, inner: decode(inner) };
    }
    if (command.type === 'noted') return decode(command.command, command.principal, command.reason);
    return { type: 'plain', command, principal, reason };
  } catch (error) {
    if (error instanceof KvdError) return { type: 'error', result: errorResult(error.code, error.message) };
    throw error;
  }
}
