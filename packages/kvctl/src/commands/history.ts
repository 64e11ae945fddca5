/** log, blame: what was done to keys, by whom and why. outcome: what became of an operation. compact: what is kept. */
import {
  type Entry,
  type HistoryRevision,
  type KvdClient,
  KvdError,
  type OperationOutcome,
} from '@kvd/client';
import { parseOperationId } from '@kvd/protocol';
import { parseBytes, parseKey, printable } from '../bytes.js';
import type { Context } from '../context.js';
import { entryFields, eventFields, eventText, noteFields, noteText } from '../entries.js';
import { EXIT, type ExitCode, usage } from '../errors.js';
import { outcomeFields } from '../results.js';

export interface LogArgs {
  readonly key?: string | undefined;
  readonly prefix?: string | undefined;
  readonly fromRevision?: number | undefined;
  readonly limit?: number | undefined;
}

/** The oldest first. */
export async function log(
  context: Context,
  { key, prefix, fromRevision, limit }: LogArgs,
): Promise<ExitCode> {
  if (key !== undefined && prefix !== undefined) throw usage('log takes KEY or --prefix P, not both');
  const bytes = (text: string) => parseBytes(text, context.encoding);
  const options = {
    ...(key === undefined ? { prefix: bytes(prefix ?? '') } : { key: parseKey(key, context.encoding) }),
    ...(fromRevision === undefined ? {} : { fromRevision }),
    ...(limit === undefined ? {} : { limit }),
  };
  return context.withClient(async (client) => {
    for await (const done of client.history({ ...options, ...context.stopping })) {
      const { revision, events } = done;
      const lines = events.map((event) => `\n  ${eventText(event)}`).join('');
      await context.out.result(
        { revision, ...noteFields(done), events: events.map(eventFields) },
        `${revision}\t${noteText(done)}${lines}`,
      );
    }
    return EXIT.done;
  });
}

export interface BlameArgs {
  readonly key: string;
  readonly all: boolean;
}

export async function blame(context: Context, { key, all }: BlameArgs): Promise<ExitCode> {
  const bytes = parseKey(key, context.encoding);
  return context.withClient((client) =>
    all ? blameAll(context, client, bytes) : blamePresent(context, client, bytes),
  );
}

/** Who gave the key the value that it has. */
async function blamePresent(context: Context, client: KvdClient, key: Uint8Array): Promise<ExitCode> {
  const entry = await client.get(key);
  if (entry === undefined) {
    const message = `no such key: ${printable(key)} (--all shows who deleted it)`;
    context.out.negative('KVD_NOT_FOUND', message);
    return EXIT.negative;
  }
  const done = await revisionOf(client, key, entry);
  if (done === undefined) {
    context.out.note(`kvctl: revision ${entry.modRevision} is compacted: who did it is not known any more`);
    return EXIT.negative;
  }
  const text = `${entry.modRevision}\t${noteText(done)}\n  ${printable(entry.value)}`;
  await context.out.result({ ...entryFields(entry), ...noteFields(done) }, text);
  return EXIT.done;
}

/** Undefined: it is compacted. */
async function revisionOf(
  client: KvdClient,
  key: Uint8Array,
  { modRevision }: Entry,
): Promise<HistoryRevision | undefined> {
  try {
    for await (const done of client.history({ key, fromRevision: modRevision, limit: 1 })) return done;
  } catch (error) {
    if (!(error instanceof KvdError && error.code === 'KVD_COMPACTED')) throw error;
  }
  return undefined;
}

/** All that is kept of the key's history, the oldest first, deletions too. */
async function blameAll(context: Context, client: KvdClient, key: Uint8Array): Promise<ExitCode> {
  let isKnown = false;
  for await (const done of client.history({ key })) {
    for (const event of done.events) {
      isKnown = true;
      const text = `${done.revision}\t${noteText(done)}\n  ${event.value === undefined ? '(deleted)' : printable(event.value)}`;
      await context.out.result({ ...eventFields(event), ...noteFields(done) }, text);
    }
  }
  if (isKnown) return EXIT.done;
  context.out.note(`kvctl: nothing is known of ${printable(key)}`);
  return EXIT.negative;
}

export interface OutcomeArgs {
  readonly operation?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

/** Asking is deciding: what was not done when it was asked will never be. */
export async function outcome(
  context: Context,
  { operation, idempotencyKey }: OutcomeArgs,
): Promise<ExitCode> {
  if ((operation === undefined) === (idempotencyKey === undefined))
    throw usage('outcome needs an OPERATION, or --idempotency-key K');
  if (operation !== undefined && parseOperationId(operation) === null)
    throw usage(`'${operation}' is not the id of an operation, SESSION.NUMBER`);
  return context.withClient(async (client) => {
    const became = await client.outcome(operation ?? { idempotencyKey: idempotencyKey ?? '' });
    await context.out.result(outcomeFields(became), OUTCOME_TEXTS[became.status]);
    return OUTCOME_EXITS[became.status];
  });
}

const OUTCOME_TEXTS = {
  applied: 'applied: it was done, once',
  never: 'never: it was not done, and never will be',
  answered: 'answered: it was done, and its client had the answer, which is forgotten',
  forgotten: 'forgotten: its session is gone; it will not be done any more, whether it was is not known',
} as const satisfies Record<OperationOutcome['status'], string>;

const OUTCOME_EXITS = {
  applied: EXIT.done,
  never: EXIT.negative,
  answered: EXIT.done,
  forgotten: EXIT.unknown,
} as const satisfies Record<OperationOutcome['status'], ExitCode>;

export interface CompactArgs {
  readonly revision?: number | undefined;
  readonly keepRevisions?: number | undefined;
  readonly keepMs?: number | undefined;
  readonly keepHours?: number | undefined;
}

const HOUR_MS = 3_600_000;

export async function compact(context: Context, args: CompactArgs): Promise<ExitCode> {
  const { revision, keepRevisions, keepMs, keepHours } = args;
  if (keepMs !== undefined && keepHours !== undefined)
    throw usage('--keep-ms and --keep-hours exclude each other');
  const bounds = [keepRevisions, keepMs, keepHours].filter((bound) => bound !== undefined);
  if ((revision === undefined) === (bounds.length === 0))
    throw usage('compact needs a REVISION, or --keep-revisions N, --keep-ms MS, --keep-hours H');
  return context.withClient(async (client) => {
    if (revision !== undefined) {
      await client.compact(revision);
      await context.out.result({ status: 'ok' }, `compacted to revision ${revision}`);
    } else {
      const keep = {
        keepRevisions: keepRevisions ?? 0,
        keepMs: keepMs ?? Math.round((keepHours ?? 0) * HOUR_MS),
      };
      await client.setRetention(keep, context.note);
      await context.out.result({ status: 'ok' }, keepText(keep));
    }
    return EXIT.done;
  });
}

/** 0 is no bound. What either bound wants to keep is kept. */
function keepText({ keepRevisions, keepMs }: { keepRevisions: number; keepMs: number }): string {
  const bounds = [
    ...(keepRevisions === 0 ? [] : [`the last ${keepRevisions} revisions`]),
    ...(keepMs === 0 ? [] : [`the last ${keepMs} ms`]),
  ];
  return bounds.length === 0 ? 'keeping everything' : `keeping ${bounds.join(', and ')}`;
}
