/**
 * A holder of a lock: a lease, a key of its own under it that nobody else has, and writes that carry the key's create
 * revision as their token. At the end it revokes its lease, is never heard of again, or sleeps past its lease and then
 * writes once more, as a process that was stopped would.
 */
import type { Operation } from '../plan.js';
import { Random } from '../random.js';
import type { Caller } from './caller.js';
import { guardedBy, lockAt } from './keys.js';

const TRIES = 4;

export function hold(caller: Caller, index: number, operation: Operation, done: () => void): void {
  const { ttlMs = 0 } = operation;
  // The lane goes on meanwhile: a holder takes its time.
  done();
  const beganMs = caller.clock.nowMs;
  const { origin, settle } = caller.number();
  const grant = { type: 'lease-grant', origin, ttlMs } as const;
  caller.mutate(grant, { retrySafe: origin.session > 0 }, (outcome, response) => {
    settle();
    if (outcome !== 'ok' || response?.type !== 'result' || response.result.type !== 'lease') return;
    const { lease } = response.result;
    caller.ledger.granted(lease, ttlMs, beganMs);
    new Holder(
      caller,
      index,
      lease,
      ttlMs,
      new Random(operation.dice ?? 0, 'hold'),
      lockAt(operation.key),
    ).start();
  });
}

class Holder {
  /** The create revision of its key; 0: it does not hold the lock. */
  private token = 0;
  private isOver = false;
  private tries = 0;
  private rounds: number;
  private readonly everyMs: number;

  constructor(
    private readonly caller: Caller,
    private readonly index: number,
    private readonly lease: number,
    private readonly ttlMs: number,
    private readonly random: Random,
    private readonly lock: string,
  ) {
    this.rounds = random.integer(1, 5);
    // Some give their sign of life at the last moment, or a little after.
    this.everyMs = ttlMs * random.pick([0.3, 0.5, 0.9, 1, 1.05]);
  }

  start(): void {
    this.keepAlive();
    this.acquire();
  }

  private keepAlive(): void {
    const { caller, lease, ttlMs } = this;
    caller.clock.after(this.everyMs, () => {
      if (this.isOver || caller.isRetired) return;
      const how = { retrySafe: true, forMs: ttlMs, accepts: ['KVD_LEASE_NOT_FOUND'] } as const;
      caller.mutate({ type: 'lease-keep-alive', lease }, how, (outcome, _, sentMs) => {
        if (outcome === 'ok') caller.ledger.keptAlive(lease, sentMs);
        if (outcome === 'refused') this.isOver = true;
      });
      this.keepAlive();
    });
  }

  private acquire(): void {
    const { lock, lease, caller } = this;
    const key = Buffer.from(lock);
    const take = { type: 'put', key, value: Buffer.from(`holder ${this.index}`), lease } as const;
    const command = {
      type: 'txn',
      compares: [{ key, target: 'exists', exists: false }],
      success: [take],
      failure: [{ type: 'get', key }],
    } as const;
    this.tries += 1;
    this.send(command, (succeeded, revision) => {
      if (succeeded === true) {
        this.token = revision;
        caller.ledger.tookLock(lock, revision);
        this.write();
      } else if (succeeded === null || this.tries >= TRIES) this.end();
      else this.later(this.ttlMs * this.random.between(0.2, 0.8), () => this.acquire());
    });
  }

  /** Guarded writes, as long as they are accepted. */
  private write(): void {
    this.rounds -= 1;
    this.guarded((accepted) => {
      if (!accepted) this.isOver = true;
      else if (this.rounds > 0) this.later(this.ttlMs * this.random.between(0.1, 0.5), () => this.write());
      else this.end();
    });
  }

  private guarded(then: (accepted: boolean) => void): void {
    const { lock, token, caller } = this;
    const key = Buffer.from(lock);
    const put = {
      type: 'put',
      key: Buffer.from(guardedBy(lock)),
      value: Buffer.from(String(token)),
      lease: 0,
    } as const;
    const command = {
      type: 'txn',
      compares: [{ key, target: 'create-revision', comparison: '=', number: token }],
      success: [put],
      failure: [],
    } as const;
    this.send(command, (succeeded, revision) => {
      if (succeeded === true) caller.ledger.wroteGuarded(lock, token, revision);
      then(succeeded === true);
    });
  }

  private end(): void {
    const how = this.random.pick(['revoke', 'abandon', 'sleep'] as const);
    this.isOver = true;
    if (how === 'sleep' && this.token > 0) {
      this.later(this.ttlMs * this.random.between(0.9, 2.5), () => this.guarded(() => undefined));
      return;
    }
    if (how === 'abandon') return;
    const { caller, lease } = this;
    const { origin, settle } = caller.number();
    const accepts = ['KVD_LEASE_NOT_FOUND'] as const;
    const command = { type: 'lease-revoke', origin, lease } as const;
    caller.mutate(command, { retrySafe: origin.session > 0, accepts }, settle);
  }

  private later(delayMs: number, run: () => void): void {
    this.caller.clock.after(delayMs, () => {
      if (!this.caller.isRetired) run();
    });
  }

  /** `succeeded` null: it was refused, or nobody knows. */
  private send(
    command: Omit<Extract<Parameters<Caller['mutate']>[0], { type: 'txn' }>, 'origin'>,
    then: (succeeded: boolean | null, revision: number) => void,
  ): void {
    const { caller } = this;
    const { origin, settle } = caller.number();
    const accepts = ['KVD_LEASE_NOT_FOUND'] as const;
    caller.mutate({ ...command, origin }, { retrySafe: origin.session > 0, accepts }, (outcome, response) => {
      settle();
      const result = response?.type === 'result' ? response.result : null;
      if (outcome !== 'ok' || result?.type !== 'txn') return then(null, 0);
      caller.ledger.saw(result.revision);
      then(result.succeeded, result.revision);
    });
  }
}
