/**
 * All that concerns the state: applying, flushing, cutting the log behind it, giving and taking snapshots, comparing
 * hashes (S12), and what to do when the state cannot be believed or read. A state in trouble serves nothing and leads
 * nothing, but costs no vote: the log is another matter.
 */
import type { ChosenEntry, ConfigurationAt, Digest, RecoveredLog, ReplicaId, Slot } from '@kvd/paxos';
import { hasWitness, votersOf } from '@kvd/paxos';
import type { PaxosNode } from '@kvd/paxos';
import type { CommandResult, PeerMessage } from '@kvd/protocol';
import type { ReplicaOptions, ReplicaPorts } from './api.js';
import { Applier } from './applier.js';
import { DigestWatch } from './digest-watch.js';
import type { LogDriver } from './log-driver.js';
import { LogWindow } from './log-window.js';
import { SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSender } from './snapshot-sender.js';
import type { Tracer } from './tracer.js';

/** The log is cut in steps of so many slots at most, so that no write gets long. */
const CUT_STEP_SLOTS = 256;
/** Batches kept behind the applied slots, whatever their number. */
const LOG_BYTES_KEPT = 256 * 1024 * 1024;
const SNAPSHOT_PATIENCE_MS = 30_000;
const STATE_RETRY_MS = 1000;
/** How long a state that was read anew has to do well before its next failure counts as a first one. */
const RELOAD_TRIAL_MS = 60_000;
/** Number of what is no snapshot but the head of one. */
const HEAD_ONLY = 1;

export interface StateKeeperHandler {
  onApplied(entry: ChosenEntry, results: readonly CommandResult[]): void;
  /** Slots through `slot` came with a snapshot. */
  onSkipped(slot: Slot): void;
  /** The state is distrusted, or trusted again. */
  onTrouble(error: Error | null): void;
  /** Something completed: carry out what has become possible. */
  onProgress(): void;
  /** A connected peer that may have a state to give, but for this one if there is another; or null. */
  anyPeer(but?: ReplicaId): ReplicaId | null;
  send(to: ReplicaId, message: PeerMessage): void;
  isConnected(peer: ReplicaId): boolean;
  /** Through it every data voter holds everything durably (W1). */
  heldThrough(): Slot;
}

export class StateKeeper {
  /** Why the state serves nothing; empty when it is well. */
  trouble = '';
  private readonly applier: Applier;
  private readonly digests: DigestWatch;
  private readonly window: LogWindow;
  private readonly sender: SnapshotSender;
  private readonly receiver: SnapshotReceiver;
  private retryTicks = 0;
  /** It failed to be read or written, or an install did: it has to be opened anew before anything else. */
  private needsReload = false;
  /** What is read anew is not believed before a peer was asked for its state. */
  private peerFirst = false;
  /** A majority has another state, or there is none: reading it anew makes it no better. */
  private contradicted = false;
  /** Since a state that had failed was believed again; Infinity: long ago, or it came from a peer since. */
  private ticksSinceReload = Number.POSITIVE_INFINITY;
  private reloading = false;
  private rebuildFrom: ReplicaId | null = null;
  /** Who was asked for a snapshot last and had none. */
  private emptyHanded: ReplicaId = 0;
  private learnerDown = false;
  /** The log is cut through it, or will be as soon as what was asked for is written. */
  private cutAsked: Slot = 0;
  /** Until then nobody is asked for a snapshot again only because the log does not reach back to the state. */
  private askPauseTicks = 0;

  constructor(
    private readonly options: ReplicaOptions,
    private readonly ports: ReplicaPorts,
    private readonly node: PaxosNode,
    private readonly driver: LogDriver,
    private readonly tracer: Tracer,
    private readonly handler: StateKeeperHandler,
  ) {
    const { state, log } = ports;
    this.digests = new DigestWatch(options.digestSlots);
    this.window = new LogWindow(options.snapshotSlots, LOG_BYTES_KEPT);
    const send = (to: ReplicaId, message: PeerMessage): void => handler.send(to, message);
    this.applier = new Applier(state, log, driver, options.tickMs, {
      onApplied: (entry, results) => this.onApplied(entry, results),
      onStateBehindLog: () => {
        if (this.askPauseTicks === 0) this.startSnapshot(handler.anyPeer());
      },
      onStateFailure: (error) => this.onFailure(error),
      wantMark: () => node.step({ type: 'persist-mark' }),
    });
    const patience = this.ticks(SNAPSHOT_PATIENCE_MS);
    this.sender = new SnapshotSender(state, patience, send, (error) => {
      tracer.event('error', 'snapshot-read-failed', { error: error.message });
      // What cannot be given to others is no good here either.
      this.onReadFailure(error);
    });
    this.receiver = new SnapshotReceiver(
      state,
      this.ticks(options.electionTimeoutMs),
      patience,
      {
        send,
        isConnected: (peer) => handler.isConnected(peer),
        onRefused: (from) => {
          this.emptyHanded = from;
        },
        beforeInstall: (slot) => this.beforeInstall(slot),
        onInstalled: (slot, configurations) => this.onInstalled(slot, configurations),
        onAborted: (reason, whileInstalling) => this.onAborted(reason, whileInstalling),
      },
      options.witness ?? false,
    );
  }

  /** Crashed between the two halves of an installation: the state is the snapshot's, the log not yet cut. (S10) */
  finishInstall(recovered: RecoveredLog): void {
    const { appliedThrough: slot, configurations } = this.ports.state;
    if (slot > recovered.chosenThrough) this.node.step({ type: 'snapshot-installed', slot, configurations });
  }

  pump(): void {
    this.applier.pump(this.node.chosenThrough);
  }

  push(entries: readonly ChosenEntry[]): void {
    this.applier.push(entries);
  }

  onMark(): void {
    this.applier.onMark();
  }

  tick(): void {
    this.ticksSinceReload += 1;
    this.askPauseTicks = Math.max(0, this.askPauseTicks - 1);
    this.applier.tick();
    this.sender.tick();
    this.receiver.tick();
    this.retry();
    this.cutLog();
  }

  /** Write what is applied; isFlushing until it is done. */
  flush(): void {
    this.applier.flush();
  }

  get isFlushing(): boolean {
    return this.applier.isFlushing;
  }

  close(): void {
    this.receiver.abort('stopping');
    this.sender.closeAll();
  }

  onPeerMessage(from: ReplicaId, message: PeerMessage): boolean {
    switch (message.type) {
      case 'snapshot-fetch':
        if (message.headOnly) this.sendHead(from);
        else if (this.trouble === '' && !this.options.witness) this.sender.onFetch(from, message);
        // Said at once, so that two in trouble do not wait for each other.
        else this.handler.send(from, { type: 'snapshot-gone', snapshotId: message.snapshotId });
        return true;
      case 'snapshot-chunk':
        this.receiver.onChunk(from, message);
        return true;
      case 'snapshot-gone':
        // Who has it or who wanted it: numbers are the sender's, and one that meets both ends only costs a retry.
        this.receiver.onGone(from, message.snapshotId);
        this.sender.onGivenUp(from, message.snapshotId);
        return true;
      case 'heartbeat':
        this.judge(message.digest);
        return false;
      case 'heartbeat-answer':
        this.digests.onPeer(from, message.digest);
        return false;
      default:
        return false;
    }
  }

  /**
   * W2: a witness skips to where our log is cut.
   *
   * Rule: what a snapshot cut says only that we hold it; what was cut behind our state, every data voter holds (W1).
   */
  private sendHead(to: ReplicaId): void {
    const { cutThrough: slot, installedThrough } = this.driver;
    const { all, alpha } = this.node.history;
    const configurations = all.filter((entry) => entry.slot <= slot);
    const [first] = configurations;
    const isHeld = slot > installedThrough || slot <= this.handler.heldThrough();
    const isWhole =
      first !== undefined && (first.slot <= slot + 1 - alpha || first.configuration.replaces === 0);
    if (slot === 0 || !isHeld || !isWhole) {
      this.handler.send(to, { type: 'snapshot-gone', snapshotId: 0 });
      return;
    }
    const head = { snapshotId: HEAD_ONLY, sequence: 0, last: true, slot, configurations } as const;
    this.handler.send(to, { type: 'snapshot-chunk', ...head, records: new Uint8Array(0) });
  }

  startSnapshot(wanted: ReplicaId | null): void {
    if (this.learnerDown || wanted === null || this.receiver.active) return;
    // Who says that its log is cut may be a witness, or in trouble itself.
    const from = wanted === this.emptyHanded ? (this.handler.anyPeer(wanted) ?? wanted) : wanted;
    this.tracer.event('info', 'snapshot-wanted', { from, appliedThrough: this.ports.state.appliedThrough });
    this.receiver.start(from);
  }

  /** Chaos: what the learner holds in memory is gone. */
  killLearner(): void {
    this.learnerDown = true;
    this.receiver.abort('the learner was killed');
    this.sender.closeAll();
    this.applier.pause();
  }

  /** `recovered`: what the log said when it was read anew; `done` builds the roles that are to know what this state knows. */
  restoreLearner(recovered: () => RecoveredLog, done: () => void): void {
    this.ports.state.reload((error) => {
      this.learnerDown = false;
      done();
      if (error) this.onFailure(error);
      else {
        this.finishInstall(recovered());
        if (this.trouble === '') this.applier.resume();
      }
      this.handler.onProgress();
    });
  }

  /** A client, a watcher or a snapshot could not read the state. */
  onReadFailure(error: Error): void {
    // A reload ends what reads the state.
    if (this.reloading || this.learnerDown) return;
    if (this.handler.anyPeer() !== null) this.onFailure(error);
    // Read anew it would be no better, and nobody has another: what can be read is served.
    else this.tracer.event('error', 'state-read-failed', { error: error.message });
  }

  /** The state could not be read or written. */
  onFailure(error: Error): void {
    if (this.trouble !== '') return;
    // After a write that failed no other succeeds, not even an install's, until it was opened anew.
    this.needsReload = true;
    // What fails again soon is damaged where a reload does not look: then only a peer's will do, if there is one.
    this.peerFirst = this.ticksSinceReload < this.ticks(RELOAD_TRIAL_MS) && this.handler.anyPeer() !== null;
    this.contradicted = false;
    this.rebuildFrom = null;
    this.distrust(`the state failed: ${error.message}`, error);
  }

  private onApplied(entry: ChosenEntry, results: readonly CommandResult[]): void {
    this.digests.onApplied(entry.slot, () => this.ports.state.stateHash);
    this.updateDigest();
    this.window.onApplied(entry.slot, entry.value.type === 'batch' ? entry.value.bytes.length : 0);
    this.handler.onApplied(entry, results);
  }

  /** A follower tells its own hash; a leader tells what the majority says, and minds it itself. */
  private updateDigest(): void {
    const configuration = this.node.isLeading ? this.node.history.at(this.node.chosenThrough + 1) : null;
    if (!configuration) {
      this.node.digest = this.digests.own;
      return;
    }
    const withState = votersOf(configuration).filter((member) => member.role === 'voter');
    const self = this.driver.replicaId;
    const verdict = this.digests.tally(
      self,
      withState.map((member) => member.replicaId),
    );
    this.node.digest = verdict;
    this.judge(verdict);
  }

  private judge(verdict: Digest): void {
    // A witness has no state that could be wrong.
    if (this.trouble !== '' || verdict.slot === 0 || this.options.witness) return;
    const judged = this.digests.judge(verdict);
    if (judged === 'agrees') return;
    const what = judged === 'split' ? 'no majority agrees' : 'the majority disagrees';
    const { leader } = this.node;
    this.rebuildFrom = judged === 'split' || leader === this.driver.replicaId ? null : leader;
    this.needsReload = false;
    this.peerFirst = false;
    this.contradicted = true;
    this.tracer.event('error', 'state-diverged', { slot: verdict.slot, what });
    this.distrust(`${what} about the state after slot ${verdict.slot}`);
  }

  private distrust(reason: string, cause: Error = new Error(reason)): void {
    this.trouble = reason;
    this.retryTicks = 0;
    this.applier.pause();
    this.tracer.event('error', 'state-distrusted', { reason });
    this.handler.onTrouble(cause);
  }

  private trust(): void {
    this.trouble = '';
    this.applier.resume();
    this.handler.onTrouble(null);
  }

  /**
   * A state that the majority contradicts is replaced by a peer's. One that failed is first read anew from disk; what
   * was not flushed comes back from the log.
   */
  private retry(): void {
    if (this.trouble === '' || this.receiver.active || this.reloading || this.learnerDown) return;
    this.retryTicks += 1;
    if (this.retryTicks % this.ticks(STATE_RETRY_MS) !== 0) return;
    if (this.needsReload) this.reload();
    else this.startSnapshot(this.rebuildFrom || this.handler.anyPeer());
  }

  private reload(): void {
    this.reloading = true;
    this.sender.closeAll();
    this.ports.state.reload((error) => {
      const isBelieved = !this.contradicted && !this.peerFirst;
      this.reloading = false;
      this.peerFirst = false;
      // While there is a peer it is asked first: what is damaged on disk stays so.
      this.needsReload = !this.contradicted && this.handler.anyPeer() === null;
      if (error) this.tracer.event('error', 'state-reload-failed', { error: error.message });
      else if (isBelieved) {
        this.ticksSinceReload = 0;
        this.trust();
      }
      this.handler.onProgress();
    });
  }

  /**
   * May a snapshot at `slot` become the state?
   *
   * Rule: it is newer than a state that is well, and the log still holds every slot above it. (S9)
   * Why safe: a state in trouble may go back, for the log brings back what came after the snapshot. Where the log is
   *   cut, nothing would: the slots between may be in no other state, and everybody believes that we know them.
   */
  private beforeInstall(slot: Slot): string {
    if (this.trouble === '' && slot <= this.ports.state.appliedThrough) return 'the state is further already';
    if (slot < Math.max(this.cutAsked, this.driver.cutThrough)) return 'the log is cut above it';
    this.applier.pause();
    return '';
  }

  private onInstalled(slot: Slot, configurations: readonly ConfigurationAt[]): void {
    this.tracer.event('info', 'snapshot-installed', { slot, stateHash: this.ports.state.stateHash });
    this.digests.reset();
    this.ticksSinceReload = Number.POSITIVE_INFINITY;
    this.node.step({ type: 'snapshot-installed', slot, configurations });
    this.handler.onSkipped(slot);
    if (this.trouble === '') this.applier.resume();
    else this.trust();
    this.handler.onProgress();
  }

  private onAborted(reason: string, whileInstalling: boolean): void {
    this.tracer.event('warn', 'snapshot-aborted', { reason });
    this.rebuildFrom = null;
    // Whoever is asked next may have no more to give.
    this.askPauseTicks = this.ticks(this.options.electionTimeoutMs);
    // All may be in trouble at once, over disks that were full: then nobody has a snapshot until one reads its own again.
    if (this.trouble !== '') this.needsReload = whileInstalling || !this.contradicted;
    // Nothing may be flushed for long where nothing comes to be applied: the disk has to be opened anew because of this.
    else if (whileInstalling && !this.learnerDown)
      this.onFailure(new Error(`no snapshot installed: ${reason}`));
  }

  /**
   * What is in a durable state may leave the log, but for what is kept for those who lag. (S9)
   *
   * Rule: a state in trouble cuts nothing, and the last alpha slots stay whatever else is said.
   * Why safe: whoever accepted a slot durably knew everything alpha slots below (S11), so a majority knows what is cut
   *   here. Should this state be lost later, one of them can give a newer one.
   */
  private cutLog(): void {
    if (this.trouble !== '' || this.driver.hasFailed) return;
    const { durableThrough } = this.ports.state;
    const through = Math.min(
      this.window.cuttableThrough(durableThrough),
      durableThrough - this.node.history.alpha,
      this.sender.keepFrom - 1,
      this.witnessBound,
    );
    const { cutThrough } = this.driver;
    if (through - cutThrough < Math.min(CUT_STEP_SLOTS, this.options.snapshotSlots)) return;
    this.cutAsked = Math.min(through, cutThrough + CUT_STEP_SLOTS);
    this.node.step({ type: 'cut', through: this.cutAsked });
  }

  /**
   * W1: where there is a witness, what it has may be all that is left of a value, and what it lacks ours may be. Until the
   * slots that were voted on with it are cut, for some of them may be in no other log.
   */
  private get witnessBound(): Slot {
    const isBound = this.node.history.all.some(({ configuration }) => hasWitness(configuration));
    return isBound ? this.handler.heldThrough() : Number.POSITIVE_INFINITY;
  }

  private ticks(ms: number): number {
    return Math.max(1, Math.round(ms / this.options.tickMs));
  }
}
