/**
 * Encodes what is sent once a connection. @msgpack/msgpack does it: nothing here is on the path of a command, and that a
 * well-kept implementation of the format opens every connection keeps our own writer and reader honest.
 */
import { Encoder } from '@msgpack/msgpack';

/** Arrays, safe integers, strings and bytes only. */
export type HandshakeValue = number | string | Uint8Array | readonly HandshakeValue[];

const encoder = new Encoder();

export function encodeHandshake(fields: readonly HandshakeValue[]): Uint8Array {
  return encoder.encode(fields);
}

/** At most `bytesMax` bytes of UTF-8, cut at a character. */
export function cutText(text: string, bytesMax: number): string {
  const bytes = new Uint8Array(bytesMax);
  const { read } = new TextEncoder().encodeInto(text, bytes);
  return text.slice(0, read);
}
