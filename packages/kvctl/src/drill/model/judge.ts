/**
 * The verdict on transactions and watchers, from the history that the cluster itself keeps (`kv.history`), of all keys and
 * all revisions. The history is replayed: what it says of the bank and of the counter after each revision must be what
 * clients were told, no operation may have two revisions, and every watcher must have seen exactly these events.
 */
import type { Operation } from '@kvd/checker';
import type { HistoryRevision, WatchEvent } from '@kvd/client';
import { OWN_PREFIX, SHARED_PREFIX } from '../workload.js';
import { ACCOUNT_KEYS, ACCOUNT_START, BANK_PREFIX, BANK_TOTAL, COUNTER_KEY } from './calls.js';
import type { AuditTold, Ledger } from './ledger.js';
import type { Finding } from './report.js';
import { difference, Sighting } from './sighting.js';
import { type DrillWatcher, seen } from './watchers.js';

/** Of each kind so many are told. */
const FINDINGS_MAX = 20;

export class Judge {
  readonly findings: Finding[] = [];
  /** The last revision of the history. */
  revision = 0;
  counter = 0;
  /** Revisions beyond the first of an operation, or beyond those that operations can have taken. */
  repeated = 0;
  private readonly sighting = new Sighting();
  private readonly keys: string[] = [];
  /** By operation: the revision that it took. */
  private readonly operations = new Map<string, number>();
  private readonly balances = new Map<string, number>();
  private readonly audits = new Map<number, AuditTold[]>();
  private readonly unexplained = { transfers: 0, increments: 0 };
  /** By revision: what it did to the keys that the checker judges. */
  private readonly keyRevisions = new Map<number, string>();
  /** Of the accounts as they were: the last revision at which they were so, by all balances. */
  private readonly balancesUntil = new Map<string, number>();

  constructor(private readonly ledger: Ledger) {
    for (const text of ledger.findings) this.find('bank', text);
    for (const audit of ledger.audits) {
      if (audit.revision === 0) this.auditNow(audit);
      else this.audits.set(audit.revision, [...(this.audits.get(audit.revision) ?? []), audit]);
    }
  }

  /** The next revision of the history. */
  take(revision: HistoryRevision): void {
    if (revision.revision !== this.revision + 1)
      this.find('history', `after revision ${this.revision} the history has ${revision.revision}`);
    this.revision = revision.revision;
    this.checkOnce(revision);
    for (const event of revision.events) {
      this.sighting.add(seen(event));
      this.keys.push(`${event.type} ${event.keyText()}`);
    }
    this.bank(revision);
    this.count(revision);
    const ofKeys = revision.events.filter(
      (event) => isUnder(event, SHARED_PREFIX) || isUnder(event, OWN_PREFIX),
    );
    if (ofKeys.length > 0) this.keyRevisions.set(revision.revision, ofKeys.map(eventText).join(', '));
    if (this.balances.size > 0) this.balancesUntil.set(textOf(this.balances), revision.revision);
  }

  /** After the last revision. `operations`: what the checker judges. */
  finish(operations: readonly Operation[], watchers: readonly DrillWatcher[]): void {
    const { ledger } = this;
    for (const revision of ledger.transfers.keys())
      if (revision > this.revision)
        this.find('bank', `an acknowledged transfer, revision ${revision}, is lost`);
    for (const revision of ledger.increments.keys())
      if (revision > this.revision)
        this.find('counter', `an acknowledged addition, revision ${revision}, is lost`);
    this.explain('bank', 'transfers', this.unexplained.transfers, this.openOf('transfer'));
    this.explain('counter', 'additions', this.unexplained.increments, this.openOf('add'));
    this.compareKeyRevisions(operations);
    for (const operation of operations) this.compareOperation(operation);
    for (const audit of ledger.audits) if (audit.revision === 0) this.compareAudit(audit);
    for (const watcher of watchers) this.compareWatcher(watcher);
  }

  private checkOnce({ revision, operationId, idempotencyKey }: HistoryRevision): void {
    const operation = operationId ?? (idempotencyKey === undefined ? undefined : `'${idempotencyKey}'`);
    if (operation === undefined) return;
    const first = this.operations.get(operation);
    if (first === undefined) {
      this.operations.set(operation, revision);
      return;
    }
    this.repeated += 1;
    this.find('history', `operation ${operation} was done twice: revisions ${first} and ${revision}`);
  }

  private bank({ revision, events }: HistoryRevision): void {
    const moved = events.filter((event) => isUnder(event, BANK_PREFIX));
    if (moved.length > 0) this.move(revision, moved);
    else if (this.ledger.transfers.has(revision))
      this.find('bank', `the transfer that took revision ${revision} is not in the history`);
    for (const { balances } of this.audits.get(revision) ?? []) {
      const wrong = ACCOUNT_KEYS.find((key) => balances.get(key) !== String(this.balances.get(key)));
      if (wrong !== undefined)
        this.find(
          'bank',
          `a scan at revision ${revision} found ${balances.get(wrong)} on ${wrong}, the history says ${this.balances.get(wrong)}`,
        );
    }
  }

  private move(revision: number, events: readonly WatchEvent[]): void {
    const changes = new Map<string, number>();
    for (const event of events) {
      const key = event.keyText();
      changes.set(key, Number(event.text()) - (this.balances.get(key) ?? 0));
      this.balances.set(key, Number(event.text()));
    }
    const total = [...this.balances.values()].reduce((sum, balance) => sum + balance, 0);
    if (total !== BANK_TOTAL)
      this.find('bank', `after revision ${revision} the accounts hold ${total}, not ${BANK_TOTAL}`);
    const told = this.ledger.transfers.get(revision);
    if (told === undefined) {
      const isOpening = [...changes].every(([, change]) => change === ACCOUNT_START);
      if (!isOpening) this.unexplained.transfers += 1;
      return;
    }
    const isSo =
      changes.size === 2 && changes.get(told.from) === -told.amount && changes.get(told.to) === told.amount;
    if (isSo) return;
    const done = [...changes].map(([key, change]) => `${key} ${change}`).join(', ');
    const asked = `${told.from} ${-told.amount}, ${told.to} ${told.amount}`;
    this.find('bank', `the transfer that took revision ${revision} did ${done}; asked for was ${asked}`);
  }

  private count({ revision, events }: HistoryRevision): void {
    const event = events.find((each) => each.keyText() === COUNTER_KEY);
    const told = this.ledger.increments.get(revision);
    if (event === undefined) {
      if (told !== undefined)
        this.find('counter', `the addition that took revision ${revision} is not in the history`);
      return;
    }
    if (told === undefined) this.unexplained.increments += 1;
    else if (told !== null && told !== event.text())
      this.find(
        'counter',
        `an addition was told ${told}, the history has ${event.text()} at revision ${revision}`,
      );
    const before = this.counter;
    this.counter = Number(event.text());
    if (this.counter !== before + 1)
      this.find('counter', `revision ${revision} took the counter from ${before} to ${event.text()}`);
  }

  private auditNow({ balances }: AuditTold): void {
    const total = [...balances.values()].reduce((sum, balance) => sum + Number(balance), 0);
    if (total !== BANK_TOTAL || balances.size !== ACCOUNT_KEYS.length)
      this.find(
        'bank',
        `a scan found ${total} on ${balances.size} accounts, not ${BANK_TOTAL} on ${ACCOUNT_KEYS.length}`,
      );
  }

  private openOf(op: 'transfer' | 'add'): number {
    return this.ledger.open.filter(({ call }) => call.op === op).length;
  }

  private explain(about: Finding['about'], what: string, unexplained: number, open: number): void {
    if (unexplained <= open) return;
    this.repeated += unexplained - open;
    this.find(
      about,
      `${unexplained} ${what} were done that nobody was told of, and only ${open} can have been`,
    );
  }

  /** More revisions than operations: something was refused and done all the same, or done twice. */
  private compareKeyRevisions(operations: readonly Operation[]): void {
    const may = operations.filter(mayHaveTakenOne).length;
    const took = this.keyRevisions.size;
    if (took <= may) return;
    this.repeated += took - may;
    this.find('history', `puts and deletes took ${took} revisions, but only ${may} can have taken one`);
  }

  /** The history has to say what the client was told, and so what the watchers saw. */
  private compareOperation(operation: Operation): void {
    if (operation.op !== 'put' && operation.op !== 'delete') return;
    const { outcome, revision } = operation;
    if (outcome !== 'ok' || revision === undefined) return;
    if (operation.op === 'delete' && operation.deleted === 0) return;
    const asked =
      operation.op === 'put' ? `put ${operation.key} ${operation.value}` : `delete ${operation.key}`;
    const found = this.keyRevisions.get(revision) ?? 'nothing';
    if (found !== asked)
      this.find('history', `'${asked}' took revision ${revision}, where the history has '${found}'`);
  }

  /** A scan of the present found the accounts as they were after what had been acknowledged when it began. */
  private compareAudit({ balances, floor }: AuditTold): void {
    const until = this.balancesUntil.get(textOf(balances));
    if (until !== undefined && until >= floor) return;
    const when = until === undefined ? 'as they never were' : `as they were through revision ${until}`;
    this.find('bank', `a scan that began after revision ${floor} found the accounts ${when}`);
  }

  private compareWatcher({ name, sighting, failure }: DrillWatcher): void {
    if (failure !== null) this.find('watchers', `${name}: ${failure}`);
    const describe = (index: number): string => this.keys[index] ?? '';
    const found = difference(sighting, this.sighting, this.revision, describe);
    if (found !== null) this.find('watchers', `${name}: ${found}`);
  }

  private find(about: Finding['about'], text: string): void {
    const known = this.findings.filter((finding) => finding.about === about).length;
    if (known < FINDINGS_MAX) this.findings.push({ about, text });
  }
}

function eventText(event: WatchEvent): string {
  return event.type === 'put' ? `put ${event.keyText()} ${event.text()}` : `delete ${event.keyText()}`;
}

function textOf(balances: ReadonlyMap<string, unknown>): string {
  return ACCOUNT_KEYS.map((key) => balances.get(key)).join(' ');
}

function isUnder(event: WatchEvent, prefix: string): boolean {
  return event.keyText().startsWith(prefix);
}

function mayHaveTakenOne(operation: Operation): boolean {
  if (operation.op === 'get' || operation.op === 'scan' || operation.outcome === 'fail') return false;
  return operation.outcome === 'unknown' || operation.op !== 'delete' || operation.deleted !== 0;
}
