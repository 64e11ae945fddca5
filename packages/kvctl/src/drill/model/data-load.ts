/**
 * The part of a drill's load that is about the data model: a bank, a counter and watchers (calls.ts, watchers.ts), what
 * clients were told of it, and the verdict on it.
 */
import type { Completion, Operation } from '@kvd/checker';
import { connect, type HistoryRevision, type KvdClient } from '@kvd/client';
import { parseTxnJson } from '@kvd/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DrillClient } from '../drill-client.js';
import {
  BANK_PREFIX,
  type Balance,
  type DataCall,
  INCREMENT_TXN,
  nextDataCall,
  OPENING_TXN,
  type Transfer,
  transferTxn,
  txnText,
} from './calls.js';
import { Judge } from './judge.js';
import { Ledger, type TxnCompletion } from './ledger.js';
import type { DataReport } from './report.js';
import type { StreamWatcher } from './stream-watcher.js';
import { type DrillWatcher, openWatchers, type Watchers } from './watchers.js';

const CONNECT_MS = 20_000;
/** Of what is asked when all faults are over. */
const ASK_MS = 15_000;
/** Until every watcher has seen the last revision, when all faults are over. */
const WATCHED_MS_MAX = 30_000;
const POLL_MS = 20;

export class DataLoad {
  private readonly ledger = new Ledger();
  private client: KvdClient | null = null;
  private opened: Watchers | null = null;

  /** Opens the accounts and the watchers. @throws KvdError when no replica answers */
  async open(endpoints: readonly string[]): Promise<void> {
    this.client = await connect({
      endpoints,
      name: 'judge',
      timeoutMs: ASK_MS,
      connectTimeoutMs: CONNECT_MS,
    });
    this.opened = await openWatchers(endpoints, CONNECT_MS);
    // All of the history is needed in the end.
    await this.client.setRetention({ keepRevisions: 0, keepMs: 0 });
    await this.client.transact(parseTxnJson(txnText(OPENING_TXN)));
  }

  /** Those that can be cut off and moved. */
  get streams(): readonly StreamWatcher[] {
    return this.opened?.streams ?? [];
  }

  next(random: () => number): DataCall | null {
    return nextDataCall(random, this.ledger.known);
  }

  /** What `client` was told is noted; how it ended is returned. */
  async perform(client: DrillClient, call: DataCall): Promise<Completion> {
    if (call.op === 'audit') return this.audit(client, call.revision);
    const { highest } = this.ledger;
    if (call.op === 'add') return this.note(call, await client.transact(INCREMENT_TXN), highest);
    if (call.how === 'add') return this.note(call, await client.transact(transferTxn(call, null)), highest);
    return this.transferByCompare(client, call);
  }

  /** When all is over and no client is at work: what became of the operations that nobody knows of. */
  async settle(): Promise<void> {
    const { client } = this;
    if (client !== null) await this.ledger.settle((name) => client.outcome(name));
  }

  /** All that the cluster did until now. @throws KvdError */
  history(): AsyncIterable<HistoryRevision> {
    if (this.client === null) throw new Error('no client was opened');
    // Without a first revision it would begin at the oldest one that is kept.
    return this.client.history({ fromRevision: 1 });
  }

  /** When all replicas are up and nothing is written any more. `operations`: what the checker judges. */
  async judge(operations: readonly Operation[]): Promise<DataReport> {
    const judge = new Judge(this.ledger);
    let isJudged = true;
    try {
      for await (const revision of this.history()) judge.take(revision);
      await this.untilWatched(judge.revision);
      judge.finish(operations, this.watchers);
    } catch (error) {
      isJudged = false;
      const text = `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      judge.findings.push({ about: 'history', text });
    }
    const { transfers, increments, conflicts, refused, unknown, open, audits } = this.ledger;
    return {
      isJudged,
      revision: judge.revision,
      repeated: judge.repeated,
      bank: {
        transfers: transfers.size,
        conflicts,
        refused,
        unknown: unknown.transfers,
        unknownDone: unknown.transfersDone,
        audits: audits.length,
      },
      counter: {
        acknowledged: increments.size - unknown.incrementsDone,
        unknown: unknown.increments,
        unknownDone: unknown.incrementsDone,
        open: open.filter(({ call }) => call.op === 'add').length,
        value: judge.counter,
      },
      watchers: this.watchers.map(({ name, sighting, moves }) => ({ name, events: sighting.size, moves })),
      findings: judge.findings,
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.watchers.map((watcher) => watcher.close()));
    await this.client?.close();
  }

  private get watchers(): readonly DrillWatcher[] {
    return this.opened === null ? [] : [...this.opened.streams, this.opened.client];
  }

  private note(
    call: Exclude<DataCall, { op: 'audit' }>,
    completion: TxnCompletion,
    floor: number,
  ): Completion {
    this.ledger.noteTxn(call, completion, floor);
    if (completion.outcome !== 'ok') return { outcome: completion.outcome, error: completion.error };
    return { outcome: 'ok', revision: completion.revision };
  }

  private async audit(client: DrillClient, revision: number): Promise<Completion> {
    const floor = this.ledger.highest;
    const read = await client.scanAt(BANK_PREFIX, revision);
    if (read.outcome === 'ok') {
      const balances = new Map((read.entries ?? []).map(({ key, value }) => [key, value]));
      this.ledger.noteAudit({ revision, floor, balances });
    } else this.ledger.noteRefusedAudit({ op: 'audit', revision }, read.error ?? '');
    return read;
  }

  private async transferByCompare(client: DrillClient, call: Transfer): Promise<Completion> {
    const floor = this.ledger.highest;
    const read: Balance[] = [];
    for (const key of [call.from, call.to]) {
      const completion = await client.perform({ op: 'get', key });
      if (completion.outcome !== 'ok') return completion;
      read.push({ amount: Number(completion.value), modRevision: completion.modRevision ?? 0 });
    }
    const [source, target] = read;
    if (source === undefined || target === undefined) return { outcome: 'fail', error: 'no balance' };
    return this.note(call, await client.transact(transferTxn(call, [source, target])), floor);
  }

  private async untilWatched(revision: number): Promise<void> {
    const deadlineMs = performance.now() + WATCHED_MS_MAX;
    const isBehind = ({ sighting, failure }: DrillWatcher) => sighting.last < revision && failure === null;
    while (this.watchers.some(isBehind) && performance.now() < deadlineMs) await sleep(POLL_MS);
  }
}
