/**
 * Taking a snapshot from a peer: asks chunk by chunk, writes beside the present state, replaces it whole at the end or
 * not at all (S10). Silence, a changed snapshot or a wrong sum ends the attempt; another peer is tried then.
 */
import type { ConfigurationAt, ReplicaId, Slot } from '@kvd/paxos';
import type { PeerMessage, SnapshotChunk } from '@kvd/protocol';
import type { SnapshotInstaller, StateMachine } from './ports.js';

interface Receiving {
  readonly from: ReplicaId;
  readonly installer: SnapshotInstaller;
  snapshotId: number;
  /** The chunk that is waited for. */
  sequence: number;
  slot: Slot;
  busy: boolean;
  silentTicks: number;
}

/** Whoever is not even connected for so long may never come back. */
const GONE_RESENDS = 4;

export interface SnapshotReceiverHandler {
  send(to: ReplicaId, message: PeerMessage): void;
  isConnected(peer: ReplicaId): boolean;
  /** All chunks are in: stop applying until the end of the attempt. Not empty: why it may not become the state. */
  beforeInstall(slot: Slot): string;
  onInstalled(slot: Slot, configurations: readonly ConfigurationAt[]): void;
  /** It has none to give. */
  onRefused(from: ReplicaId): void;
  /** `whileInstalling`: our own disk failed it, or what had come was not whole. */
  onAborted(reason: string, whileInstalling: boolean): void;
}

export class SnapshotReceiver {
  private receiving: Receiving | null = null;

  constructor(
    private readonly state: StateMachine,
    private readonly resendTicks: number,
    private readonly patienceTicks: number,
    private readonly handler: SnapshotReceiverHandler,
    /** A witness: it wants no state, only what its log needs to go on. (W2) */
    private readonly headOnly: boolean,
  ) {}

  get active(): boolean {
    return this.receiving !== null;
  }

  start(from: ReplicaId): void {
    if (this.receiving) return;
    const installer = this.state.createInstaller();
    this.receiving = { from, installer, snapshotId: 0, sequence: 0, slot: 0, busy: false, silentTicks: 0 };
    this.ask(this.receiving);
  }

  onChunk(from: ReplicaId, chunk: SnapshotChunk): void {
    const receiving = this.receiving;
    if (!receiving || receiving.busy || receiving.from !== from || chunk.sequence !== receiving.sequence)
      return;
    if (receiving.snapshotId === 0) {
      receiving.snapshotId = chunk.snapshotId;
      receiving.slot = chunk.slot;
    }
    if (chunk.snapshotId !== receiving.snapshotId || chunk.slot !== receiving.slot) return;
    receiving.silentTicks = 0;
    receiving.busy = true;
    if (chunk.last) this.install(receiving, chunk.configurations);
    else this.write(receiving, chunk.records);
  }

  onGone(from: ReplicaId, snapshotId: number): void {
    if (this.receiving?.from !== from || this.receiving.snapshotId !== snapshotId) return;
    if (snapshotId === 0) this.handler.onRefused(from);
    this.end(this.receiving, 'the sender gave it up', false);
  }

  tick(): void {
    const receiving = this.receiving;
    if (!receiving || receiving.busy) return;
    receiving.silentTicks += 1;
    const isGone = receiving.silentTicks > GONE_RESENDS * this.resendTicks && !this.isConnected(receiving);
    if (isGone || receiving.silentTicks > this.patienceTicks) this.abort('the sender is silent');
    else if (receiving.silentTicks % this.resendTicks === 0) this.ask(receiving);
  }

  abort(reason: string, whileInstalling = false): void {
    const { receiving } = this;
    if (!receiving) return;
    // The sender serves few at a time: others need not wait until it notices that nobody asks for the rest.
    this.handler.send(receiving.from, { type: 'snapshot-gone', snapshotId: receiving.snapshotId });
    this.end(receiving, reason, whileInstalling);
  }

  private isConnected({ from }: Receiving): boolean {
    return this.handler.isConnected(from);
  }

  private end(receiving: Receiving, reason: string, whileInstalling: boolean): void {
    this.receiving = null;
    receiving.installer.abort();
    this.handler.onAborted(reason, whileInstalling);
  }

  private write(receiving: Receiving, records: Uint8Array): void {
    receiving.installer.write(records, (error) => {
      if (this.receiving !== receiving) return;
      if (error) {
        this.abort(error.message, true);
        return;
      }
      receiving.busy = false;
      receiving.sequence += 1;
      this.ask(receiving);
    });
  }

  private install(receiving: Receiving, configurations: readonly ConfigurationAt[]): void {
    const objection = this.handler.beforeInstall(receiving.slot);
    if (objection !== '') {
      this.abort(objection);
      return;
    }
    receiving.installer.finish(receiving.slot, (error) => {
      if (this.receiving !== receiving) return;
      if (error) {
        this.abort(error.message, true);
        return;
      }
      this.receiving = null;
      // Tells the sender that it may let go of the snapshot and of its log.
      receiving.sequence += 1;
      this.ask(receiving);
      this.handler.onInstalled(receiving.slot, configurations);
    });
  }

  private ask(receiving: Receiving): void {
    const { from, snapshotId, sequence } = receiving;
    this.handler.send(from, { type: 'snapshot-fetch', snapshotId, sequence, headOnly: this.headOnly });
  }
}
