/**
 * What the clients were told of transfers, of the counter and of audits, for the judge. What nobody knows is asked of the
 * cluster in the end (`kv.outcome`), which also fences it: after that it is known, or certainly open.
 */
import type { OperationName, OperationOutcome } from '@kvd/client';
import type { DataCall, Increment, Transfer } from './calls.js';

/** How a transaction ended. */
export type TxnCompletion =
  | {
      readonly outcome: 'ok';
      readonly revision: number;
      /** False: a compare did not hold, so nothing was done. */
      readonly succeeded: boolean;
      /** What the additions came to, in order. */
      readonly sums: readonly string[];
    }
  | {
      readonly outcome: 'fail' | 'unknown';
      readonly error: string;
      /** To ask what became of it. */
      readonly name?: OperationName;
    };

/** A transaction with an unknown outcome. */
export interface OpenTxn {
  readonly call: Transfer | Increment;
  readonly name: OperationName | null;
  error: string;
}

export interface TransferTold {
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export interface AuditTold {
  /** 0: of the present. */
  readonly revision: number;
  /** The highest revision that anybody had been told of when it began. */
  readonly floor: number;
  readonly balances: ReadonlyMap<string, string>;
}

export class Ledger {
  /** By the revision that it took. */
  readonly transfers = new Map<number, TransferTold>();
  /** Of an addition by the revision that it took: what it came to; null where that is not known. */
  readonly increments = new Map<number, string | null>();
  readonly audits: AuditTold[] = [];
  /** Revisions of transfers, as they were acknowledged. */
  readonly known: number[] = [];
  /** What nobody knows. */
  open: OpenTxn[] = [];
  /** Unknown at first: how many there were, and how many of them turned out to have been done. */
  unknown = { transfers: 0, transfersDone: 0, increments: 0, incrementsDone: 0 };
  conflicts = 0;
  refused = 0;
  /** The highest revision of a transaction that was acknowledged. */
  highest = 0;
  /** What is wrong already. */
  readonly findings: string[] = [];

  /** `floor`: what `highest` was when it began. What was over by then came before it. */
  noteTxn(call: Transfer | Increment, completion: TxnCompletion, floor = 0): void {
    if (completion.outcome === 'ok') {
      this.noteDone(call, completion);
      this.noteOrder(completion, floor);
    } else if (completion.outcome === 'fail') this.refused += 1;
    else {
      this.unknown[call.op === 'add' ? 'increments' : 'transfers'] += 1;
      this.open.push({ call, name: completion.name ?? null, error: completion.error });
    }
  }

  private noteOrder({ succeeded, revision }: { succeeded: boolean; revision: number }, floor: number): void {
    if (!succeeded) return;
    if (revision <= floor)
      this.findings.push(
        `a transaction that began after revision ${floor} was acknowledged took ${revision}`,
      );
    this.highest = Math.max(this.highest, revision);
  }

  noteAudit(audit: AuditTold): void {
    this.audits.push(audit);
  }

  /** A read of the past that must be possible was refused. */
  noteRefusedAudit(call: DataCall, error: string): void {
    if (call.op === 'audit' && /KVD_COMPACTED|KVD_FUTURE_REVISION/.test(error))
      this.findings.push(`a scan of the accounts at revision ${call.revision} was refused: ${error}`);
  }

  /** Ask what became of the unknown. `ask` throws when the cluster does not say. */
  async settle(ask: (name: OperationName) => Promise<OperationOutcome>): Promise<void> {
    const settled = await Promise.all(this.open.map((txn) => this.settleOne(txn, ask)));
    this.open = this.open.filter((_, index) => settled[index] !== true);
  }

  private async settleOne(
    txn: OpenTxn,
    ask: (name: OperationName) => Promise<OperationOutcome>,
  ): Promise<boolean> {
    if (txn.name === null) return false;
    try {
      const outcome = await ask(txn.name);
      if (outcome.status === 'never') return true;
      if (outcome.status !== 'applied' || outcome.result.type !== 'txn') return false;
      const { revision, succeeded } = outcome.result;
      this.noteDone(txn.call, { revision, succeeded, sums: [] });
      if (succeeded) this.unknown[txn.call.op === 'add' ? 'incrementsDone' : 'transfersDone'] += 1;
      return true;
    } catch (error) {
      txn.error = error instanceof Error ? error.message : String(error);
      return false;
    }
  }

  private noteDone(
    call: Transfer | Increment,
    { revision, succeeded, sums }: { revision: number; succeeded: boolean; sums: readonly string[] },
  ): void {
    if (!succeeded) {
      this.conflicts += 1;
      return;
    }
    const told: ReadonlyMap<number, unknown> = call.op === 'add' ? this.increments : this.transfers;
    if (told.has(revision))
      this.findings.push(`two transactions were told that they took revision ${revision}`);
    if (call.op === 'add') this.increments.set(revision, sums[0] ?? null);
    else {
      this.transfers.set(revision, call);
      this.known.push(revision);
    }
  }
}
