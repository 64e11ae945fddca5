/** What the tests of the codecs share: collecting what a frame held, and bytes written as hex. */
import fc from 'fast-check';
import type { Test } from 'tap';
import { decodeClientFrame, decodeServerFrame } from '../src/requests-codec.js';
import { decodePeerFrame } from '../src/peer-codec.js';
import type { PeerEnvelope } from '../src/peer.js';

/** A property as one assertion; a failure prints seed, path and the smallest counterexample. */
export function holds(
  t: Test,
  property: fc.IProperty<unknown>,
  parameters: fc.Parameters<unknown> = {},
): void {
  t.doesNotThrow(() => fc.assert(property, parameters), 'holds for all that was generated');
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Spaces may stand anywhere. */
export const unhex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** [kind, …arguments] of every item of a client's frame. */
export function clientItems(frame: Uint8Array): unknown[] {
  const items: unknown[] = [];
  decodeClientFrame(frame, {
    onHello: (hello) => items.push(['hello', hello]),
    onRequest: (requestId, request) => items.push(['request', requestId, request]),
    onInvalidRequest: (requestId, error) => items.push(['invalid', requestId, error.code]),
    onInvalidWatch: (watchId, error) => items.push(['invalid watch', watchId, error.code]),
    onWatch: (watchId, request) => items.push(['watch', watchId, request]),
    onUnwatch: (watchId) => items.push(['unwatch', watchId]),
  });
  return items;
}

export function serverItems(frame: Uint8Array): unknown[] {
  const items: unknown[] = [];
  decodeServerFrame(frame, {
    onWelcome: (welcome) => items.push(['welcome', welcome]),
    onResponse: (requestId, response) => items.push(['response', requestId, response]),
    onWatchMessage: (watchId, message) => items.push(['told', watchId, message]),
  });
  return items;
}

export function peerEnvelopes(frame: Uint8Array): PeerEnvelope[] {
  const envelopes: PeerEnvelope[] = [];
  decodePeerFrame(frame, (envelope) => envelopes.push(envelope));
  return envelopes;
}
