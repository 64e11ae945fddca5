/**
 * What is done when storage fails. A log without space: give up the reserve file, then reopen and verify with back-off
 * until a write works again; what is applied stays readable meanwhile. A log that fails otherwise ends the process: it
 * may have lost a promise, and only the verification of a start can tell. A state that fails is rebuilt by the replica
 * itself and costs no vote. Never touches a store: recoverLog() is the replica's.
 */
import { statfsSync } from 'node:fs';
import type { ReplicaApi, ReplicaFailure } from '@kvd/replica';
import { StoreError, type StoreErrorKind } from '@kvd/store';
import type { ChaosClock } from './chaos.js';

const BACK_OFF_MIN_MS = 250;
const BACK_OFF_MAX_MS = 10_000;
const RESERVE_CHECK_MS = 10_000;
/** Between taking its room and needing it again, where the file system does not say how little is left (a quota). */
const RESERVE_CHECK_MS_MAX = 3_600_000;
/** With less room than that, the stores need it more than the reserve does. */
const FREE_BYTES_MIN = 96 * 1024 * 1024;

export interface StorageGuardPorts {
  readonly replica: Pick<ReplicaApi, 'recoverLog'>;
  /** The file whose room is given up when the disk is full; throws when there is no room to take it again. */
  readonly setReserve: (held: boolean) => void;
  /** Have the next start set the whole directory aside. */
  readonly condemnLog: (reason: string) => void;
  /** Free bytes on the disk of the data directory. */
  readonly freeBytes: () => number;
  readonly clock: ChaosClock;
  readonly log: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Only a restart helps: end the process with EXIT.storage. */
  readonly giveUp: (reason: string) => void;
}

export class StorageGuard {
  readonly #ports: StorageGuardPorts;
  /** Attempts since a write of the log last worked; 0: it works. */
  #attempts = 0;
  #attempt: { cancel(): void } | null = null;
  #reserveCheck: { cancel(): void } | null = null;
  #reserveCheckMs = RESERVE_CHECK_MS;
  #isTakenAgain = false;
  #stopped = false;

  constructor(ports: StorageGuardPorts) {
    this.#ports = ports;
    this.#keepReserve();
  }

  onFailure(failure: Exclude<ReplicaFailure, { kind: 'removed' }>): void {
    if (this.#stopped) return;
    switch (failure.kind) {
      case 'log':
        this.#onLogFailure(failure.error);
        return;
      case 'state':
        // The replica says so, reads it anew or takes a peer's; onStoreError() has made room if that was the matter.
        return;
      case 'rolled-back':
        this.#onRolledBack();
    }
  }

  /** It may have forgotten promises: as good as lost (S5). Kept, but never voted from again. */
  #onRolledBack(): void {
    const reason = 'the data directory is an older copy of itself: a peer has heard a newer write from it';
    this.#ports.condemnLog(reason);
    this.#giveUp(`${reason}; the next start sets it aside and learns from the peers`);
  }

  /** As a store reported it, before the replica drew its conclusions. */
  onStoreError(error: Error): void {
    if (this.#stopped || kindOf(error) !== 'no-space') return;
    if (this.#isTakenAgain) this.#reserveCheckMs = Math.min(RESERVE_CHECK_MS_MAX, this.#reserveCheckMs * 2);
    this.#isTakenAgain = false;
    this.#setReserve(false);
    this.#checkReserveLater();
  }

  /** A write of the log reached the disk. */
  onLogWritten(): void {
    if (this.#attempts === 0) return;
    this.#ports.log('info', 'log-works-again', { attempts: this.#attempts });
    this.#attempts = 0;
    this.#checkReserveLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#attempt?.cancel();
    this.#reserveCheck?.cancel();
  }

  #onLogFailure(error: Error): void {
    const kind = kindOf(error);
    if (kind === 'closed') return;
    if (kind !== 'no-space') {
      this.#giveUp(`the log failed: ${error.message}`);
      return;
    }
    if (this.#attempt !== null) return;
    const waitMs = Math.min(BACK_OFF_MAX_MS, BACK_OFF_MIN_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#ports.log('warn', 'log-out-of-space', { attempt: this.#attempts, waitMs });
    this.#attempt = this.#ports.clock.after(waitMs, () => {
      this.#attempt = null;
      this.#recover();
    });
  }

  #recover(): void {
    this.#ports.replica.recoverLog((error) => {
      if (error !== null && !this.#stopped) this.#onLogFailure(error);
    });
  }

  #giveUp(reason: string): void {
    this.stop();
    this.#ports.giveUp(reason);
  }

  /** Takes its room again; never while the log is in need of it. */
  #keepReserve(): boolean {
    if (this.#stopped || this.#attempts > 0) return false;
    const held = this.#ports.freeBytes() >= FREE_BYTES_MIN && this.#setReserve(true);
    if (!held) this.#checkReserveLater();
    return held;
  }

  #checkReserveLater(): void {
    this.#reserveCheck?.cancel();
    this.#reserveCheck = this.#ports.clock.after(this.#reserveCheckMs, () => {
      this.#isTakenAgain = this.#keepReserve();
    });
  }

  /** False: there is no room for it, or the file system refuses. */
  #setReserve(held: boolean): boolean {
    try {
      this.#ports.setReserve(held);
      return true;
    } catch {
      return false;
    }
  }
}

function kindOf(error: Error): StoreErrorKind {
  return error instanceof StoreError ? error.kind : 'io';
}

/** On the disk of that path; 0: the file system does not say. */
export function freeBytes(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return 0;
  }
}
