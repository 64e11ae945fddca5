/** What a client gives (entries, events, the history) as the JSON of kvctl's lines, and as text for people. */
import type { Entry, HistoryRevision, WatchEvent } from '@kvd/client';
import { bytesField, type Entry as WireEntry, entryJson, eventJson, type JsonFields } from '@kvd/protocol';
import { printable } from './bytes.js';

export function entryFields(entry: Entry, keysOnly = false): JsonFields {
  return entryJson(wireEntry(entry), keysOnly);
}

export function eventFields(event: WatchEvent): JsonFields {
  const { key, modRevision } = event;
  const previous = event.previous === undefined ? null : wireEntry(event.previous);
  if (event.type === 'delete') return eventJson({ type: 'delete', key, modRevision, previous });
  const { value = NOTHING, createRevision, version, lease } = event;
  return eventJson({
    type: 'put',
    entry: { key, value, createRevision, modRevision, version, lease },
    previous,
  });
}

/** Who did it, when and why; what nobody said is left out. */
export function noteFields(done: HistoryRevision): JsonFields {
  const { wallMs, operationId, idempotencyKey, principal, reason } = done;
  return {
    time: timeOf(wallMs),
    ...(operationId === undefined ? {} : { operation: operationId }),
    ...(idempotencyKey === undefined ? {} : bytesField('idempotencyKey', Buffer.from(idempotencyKey))),
    ...(principal === '' ? {} : { principal }),
    ...(reason === '' ? {} : { reason }),
  };
}

export function eventText(event: WatchEvent): string {
  const key = printable(event.key);
  return event.value === undefined ? `delete ${key}` : `put    ${key}\t${printable(event.value)}`;
}

export function noteText(done: HistoryRevision): string {
  const { wallMs, principal, reason } = done;
  // Written by anybody: it must not draw on the terminal.
  const by = principal === '' ? '' : `  ${printable(Buffer.from(principal))}`;
  const why = reason === '' ? '' : `  (${printable(Buffer.from(reason))})`;
  return `${timeOf(wallMs)}${by}${why}`;
}

const NOTHING = new Uint8Array(0);

function wireEntry(entry: Entry): WireEntry {
  const { keyBytes: key, value, createRevision, modRevision, version, lease } = entry;
  return { key, value, createRevision, modRevision, version, lease };
}

function timeOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
