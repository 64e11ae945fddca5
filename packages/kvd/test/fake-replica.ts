/**
 * A replica for tests of what stands round it: a map of keys, and failures on demand. No log, no peers, no past, no
 * transactions: for these http-data.test.ts has a real one.
 */
import {
  type CommandResult,
  decodeCommand,
  type Entry,
  type Request,
  type Response,
  type ScanRequest,
  type WatchRequest,
} from '@kvd/protocol';
import type { PaxosRole, ReplicaApi, ReplicaStatus, ReplySink, WatchSink } from '@kvd/replica';

export const unavailable: Response = {
  type: 'error',
  code: 'KVD_UNAVAILABLE',
  message: 'no leader',
  outcome: 'not-done',
};

export class FakeReplica implements ReplicaApi {
  readonly entries = new Map<string, Entry>();
  readonly keyed = new Map<string, { readonly command: string; readonly result: CommandResult }>();
  readonly requests: Request[] = [];
  readonly calls: string[] = [];
  readonly down = new Set<PaxosRole>();
  readonly forgotten: ReplySink[] = [];
  /** What every request is answered with, instead of being done; `silence`: not at all. */
  forced: Response | 'silence' | null = null;
  /** Entries in a page of a scan. */
  pageEntries = 2;
  ready = true;
  isQuiet = false;
  leader = 1;
  slowMs = 0;
  reason = '';
  revision = 0;
  /** What recoverLog() ends with, one after the other; then it works. */
  readonly recoveryErrors: Error[] = [];

  tick(): void {}

  request(sink: ReplySink, requestId: number, request: Request): void {
    this.requests.push(request);
    if (this.forced === 'silence') return;
    const response = this.forced ?? this.#answer(request);
    setImmediate(() => sink.reply(requestId, response));
  }

  forgetSink(sink: ReplySink): void {
    this.forgotten.push(sink);
  }

  status(): ReplicaStatus {
    return {
      id: 1,
      address: '127.0.0.1:15000',
      role: 'leader',
      reason: this.reason,
      clusterId: 'c'.repeat(32),
      leader: this.leader,
      ballot: '1.1',
      chosenThrough: 7,
      appliedThrough: 7,
      cutThrough: 0,
      revision: this.revision,
      stateHash: '0'.repeat(16),
      incarnation: 'a'.repeat(32),
      ready: this.ready,
      down: [...this.down],
      pendingRequests: 0,
      watches: 0,
      compactRevision: 0,
      configurationSlot: 1,
      members: [],
    };
  }

  watch(_sink: WatchSink, _watchId: number, request: WatchRequest): void {
    throw new Error(`no watch from revision ${request.fromRevision} on is possible here`);
  }

  unwatch(): void {}

  forgetWatches(): void {}

  recoverLog(done: (error: Error | null) => void): void {
    this.calls.push('recover');
    done(this.recoveryErrors.shift() ?? null);
  }

  killRole(role: PaxosRole): void {
    this.calls.push(`kill ${role}`);
    this.down.add(role);
  }

  restoreRole(role: PaxosRole): void {
    this.calls.push(`restore ${role}`);
    this.down.delete(role);
  }

  campaign(): void {
    this.calls.push('campaign');
  }

  stop(done: () => void): void {
    this.calls.push('stop');
    setImmediate(done);
  }

  #answer(request: Request): Response {
    switch (request.type) {
      case 'mutate':
        return { type: 'result', result: this.#apply(request.command) };
      case 'get': {
        const entry = this.entries.get(hex(request.key)) ?? null;
        return { type: 'entry', entry, revision: this.revision };
      }
      case 'scan':
        return this.#page(request);
      default:
        throw new Error(`not here: ${request.type}`);
    }
  }

  #apply(bytes: Uint8Array): CommandResult {
    const command = decodeCommand(bytes);
    switch (command.type) {
      case 'put': {
        this.revision += 1;
        const key = Uint8Array.from(command.key);
        const old = this.entries.get(hex(key));
        this.entries.set(hex(key), {
          key,
          value: Uint8Array.from(command.value),
          createRevision: old?.createRevision ?? this.revision,
          modRevision: this.revision,
          version: (old?.version ?? 0) + 1,
          lease: 0,
        });
        return { type: 'put', revision: this.revision };
      }
      case 'delete':
      case 'delete-range': {
        const doomed =
          command.type === 'delete' ? [hex(command.key)] : [...this.entries.keys()].filter(within(command));
        const deleted = doomed.filter((key) => this.entries.delete(key)).length;
        if (deleted > 0) this.revision += 1;
        return { type: 'deleted', revision: this.revision, deleted };
      }
      case 'keyed':
        return this.#applyOnce(hex(command.idempotencyKey), command.command);
      case 'noted':
        return this.#apply(command.command);
      default:
        throw new Error(`not here: ${command.type}`);
    }
  }

  #applyOnce(key: string, command: Uint8Array): CommandResult {
    const known = this.keyed.get(key);
    if (known === undefined) {
      const result = this.#apply(command);
      this.keyed.set(key, { command: hex(command), result });
      return result;
    }
    if (known.command === hex(command)) return known.result;
    return { type: 'error', code: 'KVD_IDEMPOTENCY_CONFLICT', message: 'used for another request' };
  }

  #page(request: ScanRequest): Response {
    const keys = [...this.entries.keys()].filter(within(request)).sort();
    const wanted = request.limit === 0 ? keys.length : Math.min(keys.length, request.limit);
    const page = keys.slice(0, Math.min(wanted, this.pageEntries));
    const next = keys[page.length];
    const entries = page.flatMap((key) => this.entries.get(key) ?? []);
    return {
      type: 'page',
      entries: request.countOnly ? [] : entries,
      count: page.length,
      next: next === undefined || page.length === request.limit ? null : Buffer.from(next, 'hex'),
      revision: this.revision,
    };
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Keys as hex order like their bytes. */
function within({
  from,
  to,
}: {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}): (key: string) => boolean {
  return (key) => key >= hex(from) && (to.length === 0 || key < hex(to));
}
