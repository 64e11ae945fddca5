/** The bounds of the connections between replicas. */
import { MEMBERS_MAX } from '@kvd/protocol';
import type { WatchLimits } from './connection-watch.js';

export interface PeerLimits extends WatchLimits {
  /** From dialling, or from the upgrade, to the other's hello. */
  readonly handshakeMs: number;
  /** The pause after the first failed attempt; doubled up to the second number, and randomised. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A link that stood for so long was a success. */
  readonly stableMs: number;
  /** Bytes that may wait to be sent to one peer; more are dropped. */
  readonly bufferedBytesMax: number;
  /** Connections from peers at once, those in their handshake included. */
  readonly incomingMax: number;
  /**
   * Of these, connections from replicas that were no peers when they connected, or second ones with a peer's id. Those
   * that became members since count until they connect again, so there is room for as many.
   */
  readonly strangersMax: number;
  /** A line that would repeat itself is logged once in so long. */
  readonly logIntervalMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_PEER_LIMITS: PeerLimits = {
  handshakeMs: 2_000,
  backoffMinMs: 20,
  backoffMaxMs: 1_000,
  stableMs: 1_000,
  bufferedBytesMax: 64 * MIB,
  incomingMax: 256,
  strangersMax: MEMBERS_MAX,
  logIntervalMs: 10_000,
  tickMs: 1_000,
  pingAfterMs: 1_000,
  silentMaxMs: 4_000,
  unfinishedBytesMax: 256 * MIB,
};
