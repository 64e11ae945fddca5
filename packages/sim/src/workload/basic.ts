/** Single keys: put, get, delete, and ranges of them. Every value is written once only. */
import type { Request, Response } from '@kvd/protocol';
import { encodeCommand, NO_ORIGIN } from '@kvd/protocol';
import type { Recorded } from '../history.js';
import type { Operation } from '../plan.js';
import { safety, type Violation } from '../violation.js';
import type { Caller, End } from './caller.js';
import { keyAt } from './keys.js';

export type BasicKind = 'put' | 'get' | 'delete' | 'scan' | 'delete-range' | 'keyed-put';

export function performBasic(
  caller: Caller,
  index: number,
  operation: Operation & { readonly kind: BasicKind },
  done: () => void,
): void {
  const { kind } = operation;
  const keys = keysOf(operation);
  const put = kind === 'put' || kind === 'keyed-put';
  const value = put ? `${caller.id}.${index}${'.'.repeat(operation.valueBytes)}` : null;
  const recorded = caller.history.call(index, caller.id, kind, keys, value);
  if (kind === 'get' || kind === 'scan') read(caller, operation, keys, endOf(caller, recorded, done));
  else mutate(caller, operation, recorded, done);
}

function endOf(caller: Caller, recorded: Recorded, done: () => void): End {
  return (outcome, response) => {
    if (response !== null && outcome === 'ok') take(recorded, response);
    caller.history.end(recorded, outcome === 'refused' ? 'failed' : outcome);
    if (outcome === 'ok') caller.ledger.saw(recorded.revision);
    done();
  };
}

function read(caller: Caller, operation: Operation, keys: readonly string[], end: End): void {
  const { attemptMs: timeoutMs } = caller.plan;
  const from = Buffer.from(keys[0] ?? '');
  const request: Exclude<Request, { type: 'mutate' }> =
    operation.kind === 'get'
      ? { type: 'get', timeoutMs, consistency: 'linearizable', key: from, revision: 0 }
      : {
          type: 'scan',
          timeoutMs,
          consistency: 'linearizable',
          from,
          to: Buffer.from(keyAt(operation.key + operation.span)),
          limit: 0,
          keysOnly: false,
          countOnly: false,
          revision: 0,
          reverse: false,
        };
  caller.read(request, end);
}

function mutate(caller: Caller, operation: Operation, recorded: Recorded, done: () => void): void {
  const key = Buffer.from(recorded.keys[0] ?? '');
  const value = Buffer.from(recorded.value ?? '');
  if (operation.kind === 'keyed-put') {
    const command = encodeCommand({ type: 'put', origin: NO_ORIGIN, key, value });
    const idempotencyKey = Buffer.from(`once-${recorded.index}`);
    const end = endOf(caller, recorded, done);
    caller.mutate({ type: 'keyed', idempotencyKey, command }, { retrySafe: true }, end);
    return;
  }
  const { origin, settle } = caller.number();
  const how = { retrySafe: origin.session > 0 };
  const end = endOf(caller, recorded, () => {
    settle();
    done();
  });
  switch (operation.kind) {
    case 'delete':
      caller.mutate({ type: 'delete', origin, key }, how, end);
      return;
    case 'delete-range': {
      const to = Buffer.from(keyAt(operation.key + operation.span));
      caller.mutate({ type: 'delete-range', origin, from: key, to }, how, end);
      return;
    }
    default:
      caller.mutate({ type: 'put', origin, key, value }, how, end);
  }
}

/** Copies what an answer says into the record. @throws Violation: it answers another question */
function take(recorded: Recorded, response: Response): void {
  const { kind } = recorded;
  const wrong = (): Violation =>
    safety('answers', `operation #${recorded.index}, a ${kind}, was answered ${JSON.stringify(response)}`);
  if (response.type === 'result') {
    const { result } = response;
    if (result.type === 'put' && (kind === 'put' || kind === 'keyed-put'))
      recorded.revision = result.revision;
    else if (result.type === 'deleted' && (kind === 'delete' || kind === 'delete-range')) {
      recorded.revision = result.revision;
      recorded.deleted = result.deleted;
    } else throw wrong();
    return;
  }
  if (response.type !== 'entry' && response.type !== 'page') throw wrong();
  if (response.type !== (kind === 'get' ? 'entry' : kind === 'scan' ? 'page' : 'none')) throw wrong();
  recorded.revision = response.revision;
  const entries = response.type === 'entry' ? [response.entry] : response.entries;
  const found = new Map(entries.flatMap((entry) => (entry === null ? [] : [[textOf(entry.key), entry]])));
  recorded.seen = recorded.keys.map((key) => {
    const entry = found.get(key);
    const { modRevision = 0, version = 0 } = entry ?? {};
    return { key, value: entry ? textOf(entry.value) : null, modRevision, version };
  });
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function keysOf({ kind, key, span }: Operation): string[] {
  const count = kind === 'scan' || kind === 'delete-range' ? span : 1;
  return Array.from({ length: count }, (_, i) => keyAt(key + i));
}
