/**
 * Hashes of the state (DESIGN 5, S12). They find differences and damage, not adversaries: CRC-32 of the bytes, mixed
 * with the numbers by multiplications.
 *
 * The content hash is a sum of the hashes of all records, so it does not depend on their order and follows every
 * change; the running hash is a chain over the slots. Both are two lanes of 32 bits.
 */
import { crc32 } from 'node:zlib';
import { sealedCrc } from './sealed.js';

const TWO_TO_32 = 2 ** 32;

/** A 64-bit hash as two 32-bit halves. */
export class Hash64 {
  a: number;
  b: number;

  constructor(a = 0, b = 0) {
    this.a = a;
    this.b = b;
  }

  add(a: number, b: number): void {
    this.a = (this.a + a) >>> 0;
    this.b = (this.b + b) >>> 0;
  }

  subtract(a: number, b: number): void {
    this.a = (this.a - a) >>> 0;
    this.b = (this.b - b) >>> 0;
  }

  /** Chains a number up to 2^53 - 1. */
  mix(value: number): void {
    const high = Math.floor(value / TWO_TO_32);
    this.a = mixA(mixA(this.a, value), high) >>> 0;
    this.b = mixB(mixB(this.b, value), high) >>> 0;
  }

  equals(other: Hash64): boolean {
    return this.a === other.a && this.b === other.b;
  }

  clone(): Hash64 {
    return new Hash64(this.a, this.b);
  }

  /** 16 hex digits. */
  toString(): string {
    return this.a.toString(16).padStart(8, '0') + this.b.toString(16).padStart(8, '0');
  }
}

/** One round of the first lane; for a given state, different values give different results. */
export function mixA(state: number, value: number): number {
  const h = Math.imul(state ^ value, 0x9e3779b1);
  return h ^ (h >>> 15);
}

/** One round of the second lane. */
export function mixB(state: number, value: number): number {
  const h = Math.imul(state ^ value, 0x85ebca77);
  return h ^ (h >>> 13);
}

/** The hash of a record that is kept sealed: its key and body. */
export function recordHash(key: Buffer, body: Uint8Array): Hash64 {
  const hash = new Hash64(crc32(key), crc32(body));
  hash.mix(key.length);
  hash.mix(hash.a);
  return hash;
}

/** Adds what a sealed record is to a hash over records as they lie on this disk. */
export function addSealed(hash: Hash64, record: Buffer): void {
  const crc = sealedCrc(record);
  hash.add(crc, mixB(crc, record.length) >>> 0);
}

export function subtractSealed(hash: Hash64, record: Buffer): void {
  const crc = sealedCrc(record);
  hash.subtract(crc, mixB(crc, record.length) >>> 0);
}
