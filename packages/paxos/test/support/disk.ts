/**
 * The disk of one replica in a test: what is synced survives a crash, what is not is gone. A write ends when the test
 * says so. Asserts what the core promises of every write: a promise never goes back, a mark never claims what the log
 * lacks.
 */
import assert from 'node:assert/strict';
import { compareBallots, ZERO_BALLOT } from '../../src/ballot.js';
import type { ConfigurationAt, Identity, LogEntry, Persist, RecoveredLog, Slot } from '../../src/types.js';

export class Disk {
  private durable: RecoveredLog;
  private readonly log = new Map<Slot, LogEntry>();

  constructor(recovered: RecoveredLog) {
    this.durable = recovered;
    for (const { slot, configuration } of recovered.configurations) {
      const value = { type: 'configuration', configuration } as const;
      this.log.set(slot, { slot, ballot: ZERO_BALLOT, value, chosen: true });
    }
    for (const entry of recovered.accepted) this.log.set(entry.slot, entry);
  }

  get identity(): Identity {
    return this.durable.identity;
  }

  get marker(): number {
    return this.durable.marker;
  }

  get promised(): RecoveredLog['promised'] {
    return this.durable.promised;
  }

  get chosenThrough(): Slot {
    return this.durable.chosenThrough;
  }

  get cutThrough(): Slot {
    return this.durable.cutThrough;
  }

  get configurations(): readonly ConfigurationAt[] {
    return this.durable.configurations;
  }

  entryAt(slot: Slot): LogEntry | undefined {
    return this.log.get(slot);
  }

  /** One atomic, synced write. */
  commit(persist: Persist): void {
    const before = this.durable;
    const promised = persist.promised ?? before.promised;
    assert.ok(compareBallots(promised, before.promised) >= 0, 'a promise on disk went back');
    const chosenThrough = persist.chosenThrough ?? before.chosenThrough;
    assert.ok(chosenThrough >= before.chosenThrough, 'the mark on disk went back');
    const cutThrough = Math.max(persist.cutThrough ?? 0, before.cutThrough);
    assert.ok(
      cutThrough <= chosenThrough,
      `cut through ${cutThrough}, known chosen through ${chosenThrough}`,
    );
    for (const entry of persist.entries) this.log.set(entry.slot, entry);
    for (let slot = before.cutThrough + 1; slot <= cutThrough; slot++) this.log.delete(slot);
    for (let slot = Math.max(before.chosenThrough, cutThrough) + 1; slot <= chosenThrough; slot++) {
      assert.ok(this.log.has(slot), `the mark claims slot ${slot}, and the log lacks it`);
    }
    this.durable = {
      ...before,
      marker: before.marker + 1,
      promised,
      chosenThrough,
      cutThrough,
      configurations: persist.configurations ?? before.configurations,
    };
  }

  /** What a replica finds when it opens the log. */
  recovered(): RecoveredLog {
    const accepted = [...this.log.values()]
      .filter((entry) => entry.slot > this.durable.chosenThrough)
      .sort((a, b) => a.slot - b.slot);
    return { ...this.durable, accepted };
  }
}
