/**
 * The way to the log: one write under way, and the messages that wait for it. Owns the answer to "is it on disk yet?".
 * It never lets a message go that asserts what is not written (S1), nor one of a role that was killed meanwhile.
 */
import type { Envelope, MarkerNumber, Persist, RecoveredLog, ReplicaId, Slot } from '@kvd/paxos';
import { withoutRole } from '@kvd/paxos';
import type { PaxosRole } from './api.js';
import type { LogStore } from './ports.js';

export interface LogDriverHandler {
  /** The write and, with it, all that waited for it. */
  onPersisted(marker: MarkerNumber, after: readonly Envelope[]): void;
  onLogFailure(error: Error): void;
}

export class LogDriver {
  readonly replicaId: ReplicaId;
  /** Number of the last synced write. */
  marker: MarkerNumber;
  /** The log holds every chosen value through it, unless cut. */
  chosenThrough: Slot;
  cutThrough: Slot;
  /** The last cut that a snapshot made. */
  installedThrough: Slot;
  private after: readonly Envelope[] = [];
  private writing = false;
  private reloading = false;
  private held: Persist | null = null;
  private failed = false;
  private reloads: ((error: Error | null, recovered: RecoveredLog) => void)[] = [];

  constructor(
    private readonly log: LogStore,
    private readonly handler: LogDriverHandler,
  ) {
    const { recovered } = log;
    this.replicaId = recovered.identity.replicaId;
    this.marker = recovered.marker;
    this.chosenThrough = recovered.chosenThrough;
    this.cutThrough = recovered.cutThrough;
    this.installedThrough = recovered.installedThrough ?? 0;
  }

  get hasFailed(): boolean {
    return this.failed;
  }

  /** Called once per Ready that has something to persist; the core hands out no other until it is done. */
  write(persist: Persist, after: readonly Envelope[]): void {
    this.after = after;
    if (this.reloading) {
      this.held = persist;
      return;
    }
    this.writing = true;
    this.log.write(persist, (error, marker) => {
      this.writing = false;
      if (error) {
        this.fail(error);
        return;
      }
      this.marker = marker;
      this.chosenThrough = Math.max(this.chosenThrough, persist.chosenThrough ?? 0);
      this.cutThrough = Math.max(this.cutThrough, persist.cutThrough ?? 0);
      this.installedThrough = Math.max(this.installedThrough, persist.installedThrough ?? 0);
      const waited = this.after;
      this.after = [];
      this.startReload();
      this.handler.onPersisted(marker, waited);
    });
  }

  /** What a killed role wanted to say once its write is done is void. */
  dropRole(role: PaxosRole): void {
    this.after = withoutRole(this.after, role);
    if (role === 'acceptor') this.after = withoutRole(this.after, 'proposer');
  }

  /** Read the log anew, as at the start of a process; writes wait meanwhile. */
  reload(done: (error: Error | null, recovered: RecoveredLog) => void): void {
    this.reloads.push(done);
    if (!this.writing) this.startReload();
  }

  private startReload(): void {
    if (this.reloads.length === 0 || this.reloading) return;
    this.reloading = true;
    const waiting = this.reloads;
    this.reloads = [];
    this.log.reload((error, recovered) => {
      this.reloading = false;
      if (!error) this.afterReload(recovered);
      for (const done of waiting) done(error, recovered);
      const { held } = this;
      this.held = null;
      if (held && !this.failed) this.write(held, this.after);
      else if (this.reloads.length > 0) this.startReload();
    });
  }

  private afterReload(recovered: RecoveredLog): void {
    this.failed = false;
    this.marker = recovered.marker;
    this.chosenThrough = recovered.chosenThrough;
    this.cutThrough = recovered.cutThrough;
    this.installedThrough = recovered.installedThrough ?? 0;
  }

  private fail(error: Error): void {
    this.failed = true;
    this.after = [];
    this.held = null;
    this.handler.onLogFailure(error);
  }
}
