/**
 * S5: notices a directory that was rolled back to an older copy. Every message carries its sender's last durable marker;
 * one that is lower than the same incarnation was heard with before comes from a disk that lost promises, or is late.
 */
import type { Message } from './messages.js';
import type { Incarnation, MarkerNumber } from './types.js';

/** What asserts something about its sender's disk, and so means nothing from a directory that was rolled back. */
const ASSERTIONS: ReadonlySet<Message['type']> = new Set([
  // Its ballot may have been used before.
  'prepare',
  'probe-answer',
  'promise',
  'accepted',
  'heartbeat-answer',
]);

/** Markers of so many incarnations are remembered, those heard last. */
const INCARNATIONS_MAX = 64;

export class MarkerWatch {
  private readonly heard = new Map<Incarnation, MarkerNumber>();

  /**
   * The higher marker that was heard before, if that means that the message does not count; else null. Its sender is
   * to be told: where the message was only late, it knows, for its marker has moved on.
   */
  higherThan(incarnation: Incarnation, marker: MarkerNumber, message: Message): MarkerNumber | null {
    const heard = this.heard.get(incarnation) ?? 0;
    if (marker < heard) return ASSERTIONS.has(message.type) ? heard : null;
    this.heard.delete(incarnation);
    this.heard.set(incarnation, marker);
    if (this.heard.size > INCARNATIONS_MAX) this.forgetOldest();
    return null;
  }

  private forgetOldest(): void {
    for (const oldest of this.heard.keys()) {
      this.heard.delete(oldest);
      return;
    }
  }
}
