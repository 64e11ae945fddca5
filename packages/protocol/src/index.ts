export * from './batch-codec.js';
export * from './command-codec.js';
export { checkKey, checkValue, NO_ORIGIN } from './command-fields.js';
export { type CommandPeek, isRetrySafe, peekCommand } from './command-types.js';
export type * from './commands.js';
export * from './configuration-codec.js';
export * from './errors.js';
export { foundingMembers, WITNESS_SUFFIX } from './founding.js';
export { eventBytes, noteBytes, readNote, writeNote } from './history-codec.js';
export * from './json.js';
export { JsonObject, parseBase64, readArray, refuseAt } from './json-object.js';
export { compareLeaders, type LeaderBallot, NO_LEADER } from './leader-ballot.js';
export * from './limits.js';
export type * from './members.js';
export { membersQueryJson, parseMembersReport, readMembersQuery } from './members-json.js';
export { MsgpackReader, type ReaderPurpose } from './msgpack-reader.js';
export { MsgpackWriter } from './msgpack-writer.js';
export type * from './peer.js';
export { decodePeerFrame, decodePeerHello, encodePeerHello, encodePeerMessage } from './peer-codec.js';
export type * from './requests.js';
export {
  type ClientFrameHandler,
  decodeClientFrame,
  decodeServerFrame,
  encodeClientHello,
  encodeRequest,
  encodeResponse,
  encodeUnwatch,
  encodeWatch,
  encodeWatchMessage,
  encodeWelcome,
  type ServerFrameHandler,
} from './requests-codec.js';
export { prefixEnd } from './prefix.js';
export { decodeResult, encodeResult, partBytesHint, resultBytesHint } from './result-codec.js';
export { parseInt64 } from './txn-codec.js';
export { parseTxnJson, readTxnJson, type TxnParts } from './txn-json.js';
export { ORIGIN_BYTES_MAX, withOrigin } from './with-origin.js';
