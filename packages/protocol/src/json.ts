/**
 * What the store holds as JSON, alike in kvctl and over HTTP. Bytes are a text where they are UTF-8 (`key`), else base64
 * under another name (`keyBase64`), so no key or value is ever changed on its way. Leases and 64-bit numbers are decimal
 * text. Field names are an interface: add to them, change none. For readers: docs/API.md.
 */
import { isUtf8 } from 'node:buffer';
import type { CommandResult, Entry, LeaseId, OperationOutcome, TxnOperationResult } from './commands.js';
import type { KvEvent, Lease, RevisionEvents, RevisionNote } from './requests.js';

/** The last moment that a Date can be. */
const DATE_MS_MAX = 8.64e15;

export type JsonFields = Readonly<Record<string, unknown>>;

/** `{ key }`, or `{ keyBase64 }` when the bytes are not valid UTF-8; `name` for key. */
export function bytesField(name: string, bytes: Uint8Array): Readonly<Record<string, string>> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer)
    ? { [name]: buffer.toString('utf8') }
    : { [`${name}Base64`]: buffer.toString('base64') };
}

/** `lease` only where there is one, so that entries without look as they did before there were leases. */
export function leaseField(lease: LeaseId): Readonly<Record<string, string>> {
  return lease === 0 ? {} : { lease: String(lease) };
}

export function entryJson(entry: Entry, keysOnly = false): JsonFields {
  const { createRevision, modRevision, version, lease } = entry;
  return {
    ...bytesField('key', entry.key),
    ...(keysOnly ? {} : bytesField('value', entry.value)),
    createRevision,
    modRevision,
    version,
    ...leaseField(lease),
  };
}

/** A line of a watch, and an event of the history. `previous` only where it is known. */
export function eventJson(event: KvEvent): JsonFields {
  const previous = event.previous === null ? {} : { previous: entryJson(event.previous) };
  if (event.type === 'put') return { type: 'put', ...entryJson(event.entry), ...previous };
  return { type: 'delete', ...bytesField('key', event.key), modRevision: event.modRevision, ...previous };
}

/** What a revision did, when, and who says to have done it; what nobody said is left out. */
export function revisionJson({ revision, note, events }: RevisionEvents): JsonFields {
  return { revision, ...noteJson(note), events: events.map(eventJson) };
}

export function noteJson(note: RevisionNote): JsonFields {
  return {
    time: new Date(Math.min(note.wallMs, DATE_MS_MAX)).toISOString(),
    ...(note.session === 0 ? {} : { operation: operationId(note.session, note.sequence) }),
    ...(note.idempotencyKey.length === 0 ? {} : bytesField('idempotencyKey', note.idempotencyKey)),
    ...(note.principal === '' ? {} : { principal: note.principal }),
    ...(note.reason === '' ? {} : { reason: note.reason }),
  };
}

/** How an operation is named to `kvctl outcome`. */
export function operationId(session: number, sequence: number): string {
  return `${session}.${sequence}`;
}

/** The session and the number that an operation's id means; null: it is none. */
export function parseOperationId(
  text: string,
): { readonly session: number; readonly sequence: number } | null {
  const [, session = 0, sequence = 0] = /^([1-9]\d{0,15})\.([1-9]\d{0,15})$/.exec(text) ?? [];
  const id = { session: Number(session), sequence: Number(sequence) };
  return id.session > 0 && Number.isSafeInteger(id.session) && Number.isSafeInteger(id.sequence) ? id : null;
}

/** A decimal number, as a lease is named outside; null: it is none. */
export function parseLease(text: string): LeaseId | null {
  const lease = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : 0;
  return lease > 0 && Number.isSafeInteger(lease) ? lease : null;
}

/** A lease, with its keys when it was asked for alone. */
export function leaseJson({ lease, ttlMs, remainingMs, keys }: Lease, withKeys: boolean): JsonFields {
  const named = withKeys ? { keys: keys.map((key) => bytesField('key', key)) } : {};
  return { lease: String(lease), ttlMs, remainingMs, ...named };
}

/** Of each operation of a transaction. */
export function txnOperationJson(result: TxnOperationResult): JsonFields {
  switch (result.type) {
    case 'put':
      return { put: true };
    case 'added':
      return { add: result.value.toString() };
    case 'deleted':
      return { deleted: result.deleted };
    case 'entry':
      return { get: result.entry === null ? null : entryJson(result.entry) };
  }
}

/** What a command answers with. Errors are told in another way wherever they are told. */
export function resultJson(result: Exclude<CommandResult, { type: 'error' }>): JsonFields {
  switch (result.type) {
    case 'put':
      return { revision: result.revision };
    case 'deleted':
      return { revision: result.revision, deleted: result.deleted };
    case 'txn': {
      const { revision, succeeded, results } = result;
      return { revision, succeeded, results: results.map(txnOperationJson) };
    }
    case 'lease':
      return { lease: String(result.lease), ttlMs: result.ttlMs };
    case 'outcome':
      return outcomeJson(result.outcome);
    case 'session':
      return { session: String(result.session) };
    case 'done':
      return {};
  }
}

export function outcomeJson(outcome: OperationOutcome): JsonFields {
  if (outcome.status !== 'applied') return { status: outcome.status };
  const { result } = outcome;
  if (result.type !== 'error') return { status: 'applied', result: resultJson(result) };
  return { status: 'applied', error: { code: result.code, message: result.message } };
}
