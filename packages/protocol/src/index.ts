export * from './batch-codec.js';
export * from './command-codec.js';
export type * from './commands.js';
export * from './configuration-codec.js';
export * from './errors.js';
export { foundingMembers } from './founding.js';
export * from './limits.js';
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
  encodeWelcome,
  type ServerFrameHandler,
} from './requests-codec.js';
export { decodeResult, encodeResult } from './result-codec.js';
