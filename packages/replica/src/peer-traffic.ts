/**
 * What leaves a replica for others, with the number of its last durable marker (S5): a message to several is encoded once,
 * and one to itself comes back as an input.
 */
import type { Envelope, Message, ReplicaId } from '@kvd/paxos';
import { encodePeerMessage, type PeerMessage } from '@kvd/protocol';
import type { ReplySink } from './api.js';
import type { LogDriver } from './log-driver.js';
import type { Transport } from './ports.js';

export class PeerTraffic {
  private toSelf: Message[] = [];
  private readonly forwardSinks = new Map<ReplicaId, ReplySink>();

  constructor(
    private readonly driver: LogDriver,
    private readonly transport: Transport,
  ) {}

  transmit(envelopes: readonly Envelope[]): void {
    for (const { to, message } of envelopes) {
      let bytes: Uint8Array | null = null;
      for (const id of to) {
        if (id === this.driver.replicaId) {
          this.toSelf.push(message);
          continue;
        }
        bytes ??= encodePeerMessage(this.driver.marker, message);
        this.transport.send(id, bytes);
      }
    }
  }

  /** False: certainly not sent. */
  send(to: ReplicaId, message: PeerMessage): boolean {
    return this.transport.send(to, encodePeerMessage(this.driver.marker, message));
  }

  sendSelf(message: Message): void {
    this.toSelf.push(message);
  }

  get waitsForSelf(): boolean {
    return this.toSelf.length > 0;
  }

  takeToSelf(): Message[] {
    const messages = this.toSelf;
    this.toSelf = [];
    return messages;
  }

  /** Where the answers to requests go that a replica passed on. */
  forwardSink(to: ReplicaId): ReplySink {
    let sink = this.forwardSinks.get(to);
    if (!sink) {
      sink = {
        reply: (forwardId, response) => void this.send(to, { type: 'forward-reply', forwardId, response }),
      };
      this.forwardSinks.set(to, sink);
    }
    return sink;
  }
}
