/**
 * A slot's batch, decoded for apply. Total: what cannot be decoded becomes the error result that every replica gives.
 */
import { type Command, type CommandResult, decodeBatch, decodeCommand, KvdError } from '@kvd/protocol';

/** A command, the error that stands for it, or a keyed command with what is in it. */
export type Decoded =
  | { readonly type: 'plain'; readonly command: Exclude<Command, { type: 'keyed' }> }
  | {
      readonly type: 'keyed';
      readonly idempotencyKey: Uint8Array;
      readonly bytes: Uint8Array;
      readonly inner: Decoded;
    }
  | { readonly type: 'error'; readonly result: CommandResult };

export interface DecodedBatch {
  readonly clusterMs: number;
  readonly commands: readonly Decoded[];
}

export type DeleteRange = Extract<Command, { type: 'delete-range' }>;

const NOTHING: DecodedBatch = { clusterMs: 0, commands: [] };

/** Bytes that are no batch do nothing, and have no results. */
export function decodeSlot(bytes: Uint8Array): DecodedBatch {
  try {
    const batch = decodeBatch(bytes);
    return { clusterMs: batch.clusterMs, commands: batch.commands.map((command) => decode(command)) };
  } catch (error) {
    if (error instanceof KvdError) return NOTHING;
    throw error;
  }
}

/** The range deletion in a command, if it is one. */
export function rangeOf(decoded: Decoded): DeleteRange | null {
  if (decoded.type === 'keyed') return rangeOf(decoded.inner);
  return decoded.type === 'plain' && decoded.command.type === 'delete-range' ? decoded.command : null;
}

export function errorResult(code: KvdError['code'], message: string): CommandResult {
  return { type: 'error', code, message };
}

function decode(bytes: Uint8Array): Decoded {
  try {
    const command = decodeCommand(bytes);
    if (command.type !== 'keyed') return { type: 'plain', command };
    const { idempotencyKey, command: inner } = command;
    // The decoder refuses a keyed command in a keyed one, so this goes one level deep.
    return { type: 'keyed', idempotencyKey, bytes: inner, inner: decode(inner) };
  } catch (error) {
    if (error instanceof KvdError) return { type: 'error', result: errorResult(error.code, error.message) };
    throw error;
  }
}
