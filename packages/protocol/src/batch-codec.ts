/**
 * The bytes of a batch: what a slot of the log holds, opaque to the core. One MessagePack array:
 *
 *     [2^48 + ballot.counter, ballot.replicaId, clusterMs, wallMs, [command, …]]
 *
 * The commands are bin, exactly the bytes that clients encoded; nothing here looks into them. In directories up to format 3
 * the first number is a random one below 2^48, and the second another: who proposed such a batch is not known.
 */
import type { Batch } from './commands.js';
import { KvdError } from './errors.js';
import { type LeaderBallot, NO_LEADER } from './leader-ballot.js';
import { BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, REQUEST_BYTES_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

const COMMAND_HEADER_BYTES_MAX = 5;
const HEADER_BYTES_MAX = 64;
const COUNTER_BASE = 2 ** 48;

/** Of an encoded batch: BATCH_BYTES_MAX bytes of commands and the headers of BATCH_COMMANDS_MAX. */
export const BATCH_ENCODED_BYTES_MAX =
  BATCH_BYTES_MAX + BATCH_COMMANDS_MAX * COMMAND_HEADER_BYTES_MAX + HEADER_BYTES_MAX;

const writer = new MsgpackWriter();

/** @throws KvdError KVD_INTERNAL: over BATCH_COMMANDS_MAX or BATCH_BYTES_MAX, which the proposer has to keep to */
export function encodeBatch(batch: Batch): Uint8Array {
  const { ballot, clusterMs, wallMs, commands } = batch;
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
  writer.uint(ballot.counter === 0 ? 0 : COUNTER_BASE + ballot.counter);
  writer.uint(ballot.replicaId);
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
  const ballot = readBallotOf(reader);
  const clusterMs = reader.readUint('cluster time');
  const wallMs = reader.readUint('wall-clock time');
  const length = reader.readArrayHeader(BATCH_COMMANDS_MAX, 'commands');
  const commands: Uint8Array[] = [];
  for (let i = 0; i < length; i += 1) commands.push(reader.readBin('command', REQUEST_BYTES_MAX));
  reader.end('batch');
  return { ballot, clusterMs, wallMs, commands };
}

/**
 * The ballot alone: is this the batch that I proposed?
 * @throws KvdError KVD_BAD_FRAME
 */
export function peekBatchBallot(bytes: Uint8Array): LeaderBallot {
  return readBallotOf(new MsgpackReader(bytes));
}

function readBallotOf(reader: MsgpackReader): LeaderBallot {
  reader.expectArray(5, 'batch');
  const counter = reader.readUint('counter') - COUNTER_BASE;
  const replicaId = reader.readUint('replica id');
  return counter > 0 ? { counter, replicaId } : NO_LEADER;
}
