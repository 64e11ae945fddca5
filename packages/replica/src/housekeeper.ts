/**
 * What a leader proposes by itself: the end of leases that are due, and compaction as the retention says. It goes by its
 * own idea of the cluster's time and by a state that may lag; apply looks again at both, so no lease ends early.
 */
import { type ClusterMs, encodeCommand, EXPIRE_LEASES_MAX, type Revision } from '@kvd/protocol';
import type { StateMachine } from './ports.js';

const LEASES_EVERY_MS = 100;
const COMPACT_EVERY_MS = 1_000;
/** Revisions over the bound before anything is compacted: a share of the bound, at most this. */
const SLACK_SHARE = 0.1;
const SLACK_MAX = 1_000;
/** Revisions by time are remembered at so many points. */
const SAMPLES = 64;

export class Housekeeper {
  private sinceLeasesMs = 0;
  private sinceCompactMs = 0;
  private expiring = false;
  private compacting = false;
  /** Where the revision was when, ascending. */
  private samples: { readonly clusterMs: ClusterMs; readonly revision: Revision }[] = [];

  constructor(
    private readonly state: StateMachine,
    private readonly tickMs: number,
    private readonly propose: (command: Uint8Array, done: () => void) => void,
  ) {}

  /** Every tick of a leader; `nowMs`: what its next batch would carry. */
  tick(nowMs: ClusterMs): void {
    this.sinceLeasesMs += this.tickMs;
    this.sinceCompactMs += this.tickMs;
    if (this.sinceLeasesMs >= LEASES_EVERY_MS) {
      this.sinceLeasesMs = 0;
      this.expireLeases(nowMs);
    }
    if (this.sinceCompactMs >= COMPACT_EVERY_MS) {
      this.sinceCompactMs = 0;
      this.compact(nowMs);
    }
  }

  private expireLeases(nowMs: ClusterMs): void {
    if (this.expiring) return;
    const leases = this.state.dueLeases(nowMs, EXPIRE_LEASES_MAX);
    if (leases.length === 0) return;
    this.expiring = true;
    this.propose(encodeCommand({ type: 'expire-leases', leases }), () => {
      this.expiring = false;
    });
  }

  private compact(nowMs: ClusterMs): void {
    const target = this.compactionTarget(nowMs);
    if (this.compacting || target <= this.state.compactRevision) return;
    this.compacting = true;
    this.propose(encodeCommand({ type: 'compact', revision: target }), () => {
      this.compacting = false;
    });
  }

  /** What neither bound wants to keep. */
  private compactionTarget(nowMs: ClusterMs): Revision {
    const { keepRevisions, keepMs } = this.state.retention;
    const targets: Revision[] = [];
    if (keepRevisions > 0) targets.push(this.targetByCount(keepRevisions));
    if (keepMs > 0) targets.push(this.targetByTime(nowMs, keepMs));
    return targets.length === 0 ? 0 : Math.min(...targets);
  }

  private targetByCount(keep: number): Revision {
    const { revision, compactRevision } = this.state;
    const target = revision - keep;
    const slack = Math.min(SLACK_MAX, Math.ceil(keep * SLACK_SHARE));
    return target - compactRevision >= slack ? target : 0;
  }

  /** A new leader knows no times of before, and keeps that much longer. */
  private targetByTime(nowMs: ClusterMs, keepMs: ClusterMs): Revision {
    const last = this.samples.at(-1);
    if (last === undefined || last.clusterMs + keepMs / SAMPLES <= nowMs)
      this.samples.push({ clusterMs: nowMs, revision: this.state.revision });
    let target = 0;
    while ((this.samples[0]?.clusterMs ?? nowMs) <= nowMs - keepMs) {
      target = this.samples.shift()?.revision ?? 0;
    }
    // What was taken out is the target until it is done.
    if (target > 0) this.samples.unshift({ clusterMs: nowMs - keepMs, revision: target });
    return target;
  }
}
