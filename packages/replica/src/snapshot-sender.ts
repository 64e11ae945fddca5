/**
 * Handing out snapshots of the state, chunk by chunk as the receiver asks. A few at a time, each given up when its
 * receiver falls silent; while one is under way the log from its slot on is kept. (S9)
 */
import type { ReplicaId, Slot } from '@kvd/paxos';
import type { PeerMessage, SnapshotFetch } from '@kvd/protocol';
import { PAGE_BYTES_MAX } from '@kvd/protocol';
import type { SnapshotReader, StateMachine } from './ports.js';

interface Sending {
  readonly id: number;
  readonly reader: SnapshotReader;
  sequence: number;
  /** The chunk of `sequence`, kept to be sent again. Null records: still being read. */
  chunk: { readonly records: Uint8Array; readonly last: boolean } | null;
  idleTicks: number;
}

const SENDING_MAX = 2;

export class SnapshotSender {
  private readonly sending = new Map<ReplicaId, Sending>();
  private readonly opening = new Set<ReplicaId>();
  private nextId = 1;

  constructor(
    private readonly state: StateMachine,
    private readonly patienceTicks: number,
    private readonly send: (to: ReplicaId, message: PeerMessage) => void,
    private readonly onFailure: (error: Error) => void,
  ) {}

  /** The log from this slot on is still needed; Infinity when none is under way. */
  get keepFrom(): Slot {
    let slot = Number.POSITIVE_INFINITY;
    for (const { reader } of this.sending.values()) slot = Math.min(slot, reader.slot);
    return slot;
  }

  onFetch(to: ReplicaId, fetch: SnapshotFetch): void {
    const sending = this.sending.get(to);
    if (fetch.snapshotId === 0) {
      if (!sending) this.open(to);
      else if (sending.sequence === 0) this.sendChunk(to, sending);
      else {
        this.close(to);
        this.open(to);
      }
      return;
    }
    if (!sending || sending.id !== fetch.snapshotId) {
      this.send(to, { type: 'snapshot-gone', snapshotId: fetch.snapshotId });
      return;
    }
    sending.idleTicks = 0;
    if (fetch.sequence === sending.sequence) this.sendChunk(to, sending);
    else if (fetch.sequence === sending.sequence + 1 && sending.chunk) this.advance(to, sending);
  }

  /** Its receiver wants no more of it. Id 0: it has not seen the first chunk. */
  onGivenUp(by: ReplicaId, snapshotId: number): void {
    const sending = this.sending.get(by);
    if (sending && (sending.id === snapshotId || (snapshotId === 0 && sending.sequence === 0)))
      this.close(by);
  }

  tick(): void {
    for (const [to, sending] of this.sending) {
      sending.idleTicks += 1;
      if (sending.idleTicks > this.patienceTicks) this.close(to);
    }
  }

  closeAll(): void {
    for (const to of this.sending.keys()) this.close(to);
  }

  private open(to: ReplicaId): void {
    if (this.sending.size + this.opening.size >= SENDING_MAX) this.closeFinished();
    if (this.opening.has(to) || this.sending.size + this.opening.size >= SENDING_MAX) return;
    this.opening.add(to);
    this.state.openSnapshot((error, reader) => {
      this.opening.delete(to);
      if (error) {
        this.onFailure(error);
        return;
      }
      const sending: Sending = { id: this.nextId++, reader, sequence: -1, chunk: null, idleTicks: 0 };
      this.sending.set(to, sending);
      this.advance(to, sending);
    });
  }

  /** Others wait: let go of what was sent to its end a while ago. The receiver's last word may have been lost. */
  private closeFinished(): void {
    for (const [to, { chunk, idleTicks }] of this.sending) {
      if (chunk?.last && idleTicks >= this.patienceTicks / 10) this.close(to);
    }
  }

  private advance(to: ReplicaId, sending: Sending): void {
    if (sending.chunk?.last) {
      // The receiver has taken the last chunk and says so.
      this.close(to);
      return;
    }
    sending.sequence += 1;
    sending.chunk = null;
    sending.reader.next(PAGE_BYTES_MAX, (error, records) => {
      if (this.sending.get(to) !== sending) return;
      if (error) {
        this.close(to);
        this.onFailure(error);
        return;
      }
      sending.chunk = { records: records ?? new Uint8Array(0), last: records === null };
      this.sendChunk(to, sending);
    });
  }

  private sendChunk(to: ReplicaId, sending: Sending): void {
    if (!sending.chunk) return;
    const { id: snapshotId, sequence, reader, chunk } = sending;
    const { slot, configurations } = reader;
    this.send(to, { type: 'snapshot-chunk', snapshotId, sequence, slot, configurations, ...chunk });
  }

  private close(to: ReplicaId): void {
    this.sending.get(to)?.reader.close();
    this.sending.delete(to);
  }
}
