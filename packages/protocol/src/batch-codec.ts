/**
 * The bytes of a batch: what a slot of the log holds, opaque to the core. One MessagePack array:
 *
 *     [tag.proposer, tag.count, clusterMs, wallMs, [command, …]]
 *
 * The commands are bin, exactly the bytes that clients encoded; nothing here looks into them.
 */
import type { Batch } from './commands.js';
import { KvdError } from './errors.js';
import { BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, REQUEST_BYTES_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

const COMMAND_HEADER_BYTES_MAX = 5;
const HEADER_BYTES_MAX = 64;

/** Of an encoded batch: BATCH_BYTES_MAX bytes of commands and the headers of BATCH_COMMANDS_MAX. */
export const BATCH_ENCODED_BYTES_MAX =
  BATCH_BYTES_MAX + BATCH_COMMANDS_MAX * COMMAND_HEADER_BYTES_MAX + HEADER_BYTES_MAX;

const writer = new MsgpackWriter();

/** @throws KvdError KVD_INTERNAL: over BATCH_COMMANDS_MAX or BATCH_BYTES_MAX, which the proposer has to keep to */
export function encodeBatch(batch: Batch): Uint8Array {
  const { tag, clusterMs, wallMs, commands } = batch;
  let commandBytes = 0;
  for (const command of commands) commandBytes += command.length;
  if (commands.length > BATCH_COMMANDS_MAX || commandBytes > BATCH_BYTES_MAX) {
    throw new KvdError(
      'KVD_INTERNAL',
      `a batch of ${commands.length} commands, ${commandBytes} bytes is too large`,
    );
  }
  writer.begin(HEADER_BYTES_MAX + commandBytes + commands.length * COMMAND_HEADER_BYTES_MAX);
  writer.array(5);
  writer.uint(tag.proposer);
  writer.uint(tag.count);
  writer.uint(clusterMs);
  writer.uint(wallMs);
  writer.array(commands.length);
  for (const command of commands) writer.bin(command);
  return writer.finish();
}

/**
 * The batch in `bytes`; its commands are views on them.
 * @throws KvdError KVD_BAD_FRAME
 */
export function decodeBatch(bytes: Uint8Array): Batch {
  const reader = new MsgpackReader(bytes);
  const tag = readTag(reader);
  const clusterMs = reader.readUint('cluster time');
  const wallMs = reader.readUint('wall-clock time');
  const length = reader.readArrayHeader(BATCH_COMMANDS_MAX, 'commands');
  const commands: Uint8Array[] = [];
  for (let i = 0; i < length; i += 1) commands.push(reader.readBin('command', REQUEST_BYTES_MAX));
  reader.end('batch');
  return { tag, clusterMs, wallMs, commands };
}

/**
 * The tag alone: is this the batch that I proposed?
 * @throws KvdError KVD_BAD_FRAME
 */
export function peekBatchTag(bytes: Uint8Array): Batch['tag'] {
  return readTag(new MsgpackReader(bytes));
}

function readTag(reader: MsgpackReader): Batch['tag'] {
  reader.expectArray(5, 'batch');
  const proposer = reader.readUint('tag');
  return { proposer, count: reader.readUint('tag count') };
}
