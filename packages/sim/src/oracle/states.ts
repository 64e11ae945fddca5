/**
 * The judge of the states: what every replica made of a slot. Applied prefixes equal, hashes equal, results equal,
 * slots in order and once, exactly-once, cluster time that never runs ahead of time.
 */
import type { Identity, Slot, Value } from '@kvd/paxos';
import type { CommandResult, StateMachineView } from './views.js';
import { decodeBatch, encodeResult, peekCommand } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { safety } from '../violation.js';

interface AppliedSlot {
  readonly results: number;
  readonly stateHash: string;
  readonly revision: number;
}

interface FirstResult {
  readonly slot: Slot;
  readonly result: CommandResult;
}

export class States {
  /** The highest slot that any replica applied. */
  appliedThrough: Slot = 0;
  /** Commands that some slot holds, by the checksum of their bytes: how often. */
  readonly commands = new Map<number, number>();
  private readonly slots = new Map<Slot, AppliedSlot>();
  private readonly bySession = new Map<string, FirstResult>();

  constructor(
    private readonly nowMs: () => number,
    /** How much faster than time the fastest replica ticks. */
    private readonly fastest: number,
  ) {}

  onApplied(
    identity: Identity,
    slot: Slot,
    value: Value,
    results: readonly CommandResult[],
    state: StateMachineView,
  ): void {
    const applied: AppliedSlot = {
      results: crcOf(results),
      stateHash: state.stateHash,
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
    if (known.stateHash !== applied.stateHash)
      throw safety('S12', `${who} has the state ${applied.stateHash}, another replica ${known.stateHash}`);
    if (known.revision !== applied.revision)
      throw safety('S12', `${who} is at revision ${applied.revision}, another replica at ${known.revision}`);
  }

  /** A state came from a snapshot or from disk. */
  onLoaded(identity: Identity, state: StateMachineView): void {
    const known = this.slots.get(state.appliedThrough);
    if (known === undefined || known.stateHash === state.stateHash) return;
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
    const { commands } = decodeBatch(bytes);
    if (results.length !== commands.length)
      throw safety('S6', `slot ${slot} holds ${commands.length} commands and gave ${results.length} results`);
    if (state.clusterMs > this.nowMs() * this.fastest + 1)
      throw safety(
        'cluster-time',
        `slot ${slot} moved the cluster's clock to ${state.clusterMs} ms, it is ${this.nowMs()}`,
      );
    for (const [i, command] of commands.entries()) {
      const name = crc32(command);
      this.commands.set(name, (this.commands.get(name) ?? 0) + 1);
      this.judgeOnce(slot, command, results[i] as CommandResult);
    }
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
      `session ${session}, sequence ${sequence} gave ${JSON.stringify(first.result)} in slot ${first.slot} and ${JSON.stringify(result)} in slot ${slot}`,
    );
  }
}

function crcOf(results: readonly CommandResult[]): number {
  let crc = 0;
  for (const result of results) crc = crc32(encodeResult(result), crc);
  return crc;
}
