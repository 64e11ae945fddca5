/**
 * What all our WebSocket connections have in common: options, close codes, how an address becomes a URL.
 *
 * perMessageDeflate is off on both sides: it costs memory per connection and can be made to expand. A message is one
 * ws frame (maxFragments: 1), see connection-watch.ts. TCP_NODELAY is set by ws itself.
 */
import type { Duplex } from 'node:stream';
import type { ClientOptions, ServerOptions } from 'ws';

/** Reasons for which we close; docs/PROTOCOL.md lists them. 4000 to 4999 are free for applications. */
export const CLOSE = {
  stopping: 1001,
  protocolVersion: 4001,
  wrongCluster: 4002,
  otherFounding: 4003,
  wrongIdentity: 4004,
  badFrame: 4005,
  replaced: 4006,
  handshakeTimeout: 4007,
  tooManyStrangers: 4008,
} as const;

export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/** Of a close frame's reason. */
const REASON_BYTES_MAX = 123;
/** How long the other end has to answer our close frame. */
export const CLOSE_TIMEOUT_MS = 2_000;

export function serverOptions(maxPayload: number): ServerOptions & { closeTimeout: number } {
  return {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    maxFragments: 1,
    closeTimeout: CLOSE_TIMEOUT_MS,
  };
}

export function clientOptions(maxPayload: number): ClientOptions & { closeTimeout: number } {
  return {
    perMessageDeflate: false,
    maxPayload,
    maxFragments: 1,
    closeTimeout: CLOSE_TIMEOUT_MS,
    // A random mask keeps scripts in a browser from forging HTTP towards proxies. Neither is here, and with a mask of
    // zeros neither end has to go over every byte.
    generateMask: (mask) => mask.fill(0),
  };
}

export function closeReason(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= REASON_BYTES_MAX) return text;
  // A character cut in the middle would make the frame invalid.
  return bytes
    .subarray(0, REASON_BYTES_MAX)
    .toString()
    .replace(/\uFFFD+$/, '');
}

/** Answer an upgrade request with 503 and end its connection. */
export function refuseUpgrade(socket: Duplex, reason: string): void {
  // The http server no longer listens for errors of a socket that it handed over.
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`,
    () => socket.destroy(),
  );
}

/** ws gives fragments or an ArrayBuffer only where it was asked to; we never ask. */
export function asBytes(data: Buffer | ArrayBuffer | Buffer[]): Uint8Array {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : new Uint8Array(data);
}
