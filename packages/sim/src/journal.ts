/**
 * The account of a run: a hash of everything that happened, in order, and, when asked for, the same as lines for
 * people. Equal hashes: the runs were equal, event by event.
 */
import { crc32 } from 'node:zlib';
import type { VirtualClock } from './clock.js';

const LINES_MAX = 2_000_000;

export class Journal {
  readonly lines: string[] = [];
  private low = 0;
  private high = 0;

  constructor(
    private readonly clock: VirtualClock,
    readonly wanted: boolean,
  ) {}

  /** Something happened: its kind, to whom, and a number that says what. */
  mark(kind: number, who: number, what: number): void {
    this.mix(Math.floor(this.clock.nowMs * 1000));
    this.mix(kind * 0x1000 + who);
    this.mix(what);
  }

  markBytes(kind: number, who: number, bytes: Uint8Array): void {
    this.mark(kind, who, crc32(bytes));
  }

  /** A line for people, made only when somebody reads it. */
  say(who: number | string, text: () => string): void {
    if (!this.wanted || this.lines.length >= LINES_MAX) return;
    const time = this.clock.nowMs.toFixed(2).padStart(10);
    const name = typeof who === 'number' ? `replica ${who}` : who;
    this.lines.push(`${time} ms  ${name.padEnd(10)} ${text()}`);
  }

  get digest(): string {
    return [this.high, this.low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /** Two rounds of multiplication and rotation, after MurmurHash3. */
  private mix(value: number): void {
    let k = Math.imul((value | 0) ^ Math.floor(value / 2 ** 32), 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    this.low = Math.imul((this.low << 13) | (this.low >>> 19), 5) + (k ^ 0xe6546b64);
    this.high = Math.imul(this.high ^ this.low, 0x85ebca6b) ^ (this.high >>> 13);
  }
}

export const MARK = { send: 1, deliver: 2, disk: 3, fault: 4, start: 5, client: 6, apply: 7 } as const;
