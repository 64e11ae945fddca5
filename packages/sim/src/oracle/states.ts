/**
 * The judge of the states: what every replica made of a slot. Applied prefixes equal, hashes equal, results equal,
 * slots in order and once, exactly-once, cluster time that never runs ahead of time; and all of it what the reference
 * (reference/) makes of the same log.
 */
import type { Identity, Incarnation, ReplicaId, Slot, Value } from '@kvd/paxos';
import type { CommandResult, StateMachineView } from './views.js';
import {
  type Batch,
  type ClusterMs,
  compareLeaders,
  decodeBatch,
  encodeResult,
  type LeaderBallot,
  NO_LEADER,
  peekCommand,
} from '@kvd/protocol';
import type { Reference } from '../reference/reference.js';
import { crc32 } from 'node:zlib';
import { safety } from '../violation.js';
import { showResult } from './answers.js';

interface AppliedSlot {
  readonly results: number;
  /** Null: only who diverged has applied it. */
  stateHash: string | null;
  readonly revision: number;
}

interface FirstResult {
  readonly slot: Slot;
  readonly result: CommandResult;
}

export class States {
  /** The highest slot that any replica applied. */
  appliedThrough: Slot = 0;
  /** What commands were answered by the log, by the checksum of their bytes. */
  private readonly given = new Map<number, Set<string>>();
  private readonly slots = new Map<Slot, AppliedSlot>();
  /** Whose state was made another one, until it is replaced. */
  private readonly diverged = new Map<Incarnation, ReplicaId>();
  private readonly bySession = new Map<string, FirstResult>();
  /** The highest ballot of the batches applied. */
  private leader: LeaderBallot = NO_LEADER;
  private clusterMs: ClusterMs = 0;
  /** Batches that did nothing, for they were overtaken. */
  overtaken = 0;

  constructor(
    private readonly nowMs: () => number,
    /** How much faster than time the fastest replica ticks. */
    private readonly fastest: number,
    /** Null: replicas are only compared with each other. */
    private readonly reference: Reference | null = null,
  ) {}

  /** Did the log answer this command so? */
  gave(command: Uint8Array, result: CommandResult): boolean {
    return this.given.get(crc32(command))?.has(showResult(result)) ?? false;
  }

  /** From here on its hash is not that of others, until it was replaced. */
  onDiverged({ replicaId, incarnation }: Identity): void {
    this.diverged.set(incarnation, replicaId);
  }

  /** Who still has a state that is not that of others. */
  get unrepaired(): readonly ReplicaId[] {
    return [...this.diverged.values()];
  }

  onApplied(
    identity: Identity,
    slot: Slot,
    value: Value,
    results: readonly CommandResult[],
    state: StateMachineView,
  ): void {
    const applied: AppliedSlot = {
      results: crcOf(results),
      stateHash: this.diverged.has(identity.incarnation) ? null : state.stateHash,
      revision: state.revision,
    };
    const known = this.slots.get(slot);
    const who = `replica ${identity.replicaId} in slot ${slot}`;
    if (known === undefined) {
      this.slots.set(slot, applied);
      this.appliedThrough = Math.max(this.appliedThrough, slot);
      if (value.type === 'batch') this.onCommands(slot, value.bytes, results, state);
      return;
    }
    if (known.results !== applied.results)
      throw safety('S6', `${who} got other results than another replica`);
    known.stateHash ??= applied.stateHash;
    if (applied.stateHash !== null && known.stateHash !== applied.stateHash)
      throw safety('S12', `${who} has the state ${applied.stateHash}, another replica ${known.stateHash}`);
    if (known.revision !== applied.revision)
      throw safety('S12', `${who} is at revision ${applied.revision}, another replica at ${known.revision}`);
  }

  /** A state came from a snapshot or from disk. */
  onLoaded(identity: Identity, state: StateMachineView): void {
    const known = this.slots.get(state.appliedThrough);
    if (known === undefined || known.stateHash === null) return;
    if (known.stateHash === state.stateHash) this.diverged.delete(identity.incarnation);
    else if (!this.diverged.has(identity.incarnation))
      throw safety(
        'S10',
        `replica ${identity.replicaId} loaded a state through slot ${state.appliedThrough} with hash ${state.stateHash}, not ${known.stateHash}`,
      );
  }

  private onCommands(
    slot: Slot,
    bytes: Uint8Array,
    results: readonly CommandResult[],
    state: StateMachineView,
  ): void {
    const batch = decodeBatch(bytes);
    if (this.isOvertaken(slot, batch, results, state)) return;
    const { commands } = batch;
    if (results.length !== commands.length)
      throw safety('S6', `slot ${slot} holds ${commands.length} commands and gave ${results.length} results`);
    if (state.clusterMs > this.nowMs() * this.fastest + 1)
      throw safety(
        'cluster-time',
        `slot ${slot} moved the cluster's clock to ${state.clusterMs} ms, it is ${this.nowMs()}`,
      );
    for (const [i, command] of commands.entries()) {
      const result = results[i] as CommandResult;
      this.judgeOnce(slot, command, result);
      const name = crc32(command);
      const given = this.given.get(name);
      if (given === undefined) this.given.set(name, new Set([showResult(result)]));
      else given.add(showResult(result));
    }
    if (this.reference !== null) judgeModel(this.reference, slot, batch, results, state);
  }

  /** What a leader proposed that was overtaken before does nothing: slots come in order, each is asked about once. */
  private isOvertaken(
    slot: Slot,
    { ballot }: Batch,
    results: readonly CommandResult[],
    { clusterMs }: StateMachineView,
  ): boolean {
    const before = this.clusterMs;
    this.clusterMs = clusterMs;
    if (compareLeaders(ballot, this.leader) >= 0) {
      this.leader = ballot;
      return false;
    }
    this.overtaken += 1;
    if (results.length === 0 && clusterMs === before) return true;
    const { counter, replicaId } = ballot;
    throw safety(
      'overtaken',
      `slot ${slot} is of ballot ${counter}.${replicaId}, which was overtaken, and counts`,
    );
  }

  /** S8: a sequence of a session has one effect and one result, however often it is in the log. */
  private judgeOnce(slot: Slot, command: Uint8Array, result: CommandResult): void {
    const { session, sequence } = peekCommand(command);
    if (session === 0 || sequence === 0 || result.type === 'error') return;
    const name = `${session}/${sequence}`;
    const first = this.bySession.get(name);
    if (first === undefined) {
      this.bySession.set(name, { slot, result });
      return;
    }
    if (crcOf([first.result]) === crcOf([result])) return;
    throw safety(
      'exactly-once',
      `session ${session}, sequence ${sequence} gave ${showResult(first.result)} in slot ${first.slot} and ${showResult(result)} in slot ${slot}`,
    );
  }
}

function crcOf(results: readonly CommandResult[]): number {
  let crc = 0;
  for (const result of results) crc = crc32(encodeResult(result), crc);
  return crc;
}

/** The results, and where the state is now, are those of the reference. */
function judgeModel(
  reference: Reference,
  slot: Slot,
  batch: Batch,
  results: readonly CommandResult[],
  state: StateMachineView,
): void {
  for (const [i, right] of reference.apply(slot, batch).entries()) {
    const shown = showResult(results[i] as CommandResult);
    const expected = showResult(right);
    const { type } = peekCommand(batch.commands[i] as Uint8Array);
    if (shown !== expected) throw safety('model', `slot ${slot}: a ${type} gave ${shown}, not ${expected}`);
  }
  const { revision, compactRevision } = reference;
  if (state.revision === revision && state.compactRevision === compactRevision) return;
  throw safety(
    'model',
    `slot ${slot} is at revision ${state.revision}, compacted ${state.compactRevision}, not ${revision} and ${compactRevision}`,
  );
}
