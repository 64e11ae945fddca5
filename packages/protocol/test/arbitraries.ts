/** Generators of everything that the codecs carry, for fast-check. */
import type { Ballot, Configuration, ConfigurationAt, LogEntry, Message, Value } from '@kvd/paxos';
import fc from 'fast-check';
import type {
  Command,
  CommandResult,
  Compare,
  Comparison,
  Entry,
  OperationOutcome,
  TxnOperation,
  TxnOperationResult,
} from '../src/commands.js';
import { ERROR_CODES } from '../src/errors.js';
import type { PeerMessage } from '../src/peer.js';
import type { KvEvent, Lease, Request, Response, RevisionNote, WatchMessage } from '../src/requests.js';
import { encodeCommand } from '../src/command-codec.js';
import { NO_LEADER } from '../src/leader-ballot.js';

/** Ordinary objects: fast-check's own record() makes some without a prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

/** Of all magnitudes, so that each width of the format comes up. */
export const uint = fc.oneof(
  fc.nat(200),
  fc.nat(70_000),
  fc.nat(2 ** 31 - 1),
  fc.maxSafeNat(),
  fc.constantFrom(0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
);
const id = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const key = bytes(1, 40);
const value = bytes(0, 400);
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const identifier = bytes(16, 16).map((raw) => Buffer.from(raw).toString('hex'));

const origin = fc.oneof(
  fc.constant({ session: 0, sequence: 0, lowestUnanswered: 0 }),
  fc.tuple(id, fc.nat(100_000), fc.nat(100_000)).map(([session, a, b]) => ({
    session,
    sequence: Math.max(a, b) + 1,
    lowestUnanswered: Math.min(a, b) + 1,
  })),
);

const ofType = <T extends string>(type: T) => fc.constant(type);
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const comparison = fc.constantFrom<Comparison>('=', '!=', '<', '>');

const compare: fc.Arbitrary<Compare> = fc.oneof(
  record({ target: ofType('exists'), key, exists: fc.boolean() }),
  record({ target: ofType('value'), key, comparison, value }),
  record({
    target: fc.constantFrom('version', 'create-revision', 'mod-revision', 'lease'),
    key,
    comparison,
    number: uint,
  }),
);

/** With keys of few bytes, so that operations meet. */
export function operation(keys: fc.Arbitrary<Uint8Array>): fc.Arbitrary<TxnOperation> {
  return fc.oneof(
    record({ type: ofType('put'), key: keys, value, lease: uint }),
    record({ type: ofType('add'), key: keys, delta: int64 }),
    record({ type: ofType('delete'), key: keys }),
    record({ type: ofType('delete-range'), from: keys, to: fc.oneof(keys, fc.constant(new Uint8Array())) }),
    record({ type: ofType('get'), key: keys }),
  );
}

/** One that changes no key twice: keys that begin with their index, ranges that begin with a byte above all of those. */
const branch: fc.Arbitrary<TxnOperation[]> = fc.array(operation(key), { maxLength: 6 }).map((operations) => {
  let ranges = 0;
  return operations.flatMap((op, i): TxnOperation[] => {
    if (op.type !== 'delete-range') return [{ ...op, key: Uint8Array.of(i, ...op.key) }];
    ranges += 1;
    if (ranges > 4) return [];
    return [{ ...op, from: Uint8Array.of(100 + i, 0, ...op.from), to: Uint8Array.of(100 + i, 1, ...op.to) }];
  });
});

const mutation: fc.Arbitrary<Command> = fc.oneof(
  record({ type: ofType('put'), origin, key, value }),
  record({ type: ofType('delete'), origin, key }),
  record({ type: ofType('delete-range'), origin, from: bytes(0, 40), to: bytes(0, 40) }),
  record({
    type: ofType('txn'),
    origin,
    compares: fc.array(compare, { maxLength: 4 }),
    success: branch,
    failure: branch,
  }),
  record({ type: ofType('lease-grant'), origin, ttlMs: fc.integer({ min: 100, max: 366 * 86_400_000 }) }),
  record({ type: ofType('lease-revoke'), origin, lease: uint }),
  record({ type: ofType('set-retention'), origin, keepRevisions: uint, keepMs: uint }),
);

const plainCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 2, arbitrary: mutation },
  {
    weight: 1,
    arbitrary: fc.oneof(
      record({ type: ofType('open-session') }),
      record({ type: ofType('open-session'), principal: text.filter((name) => name !== '') }),
      record({ type: ofType('keep-alive'), session: uint }),
      record({ type: ofType('close-session'), session: uint }),
      record({ type: ofType('lease-keep-alive'), lease: uint }),
      record({ type: ofType('expire-leases'), leases: fc.array(uint, { maxLength: 256 }) }),
      record({ type: ofType('compact'), revision: uint }),
      record({ type: ofType('outcome'), session: id, sequence: id }),
      record({ type: ofType('keyed-outcome'), idempotencyKey: bytes(1, 256) }),
    ),
  },
);

const noted: fc.Arbitrary<Command> = record({
  type: ofType('noted'),
  principal: text,
  reason: text,
  command: mutation.map(encodeCommand),
});

export const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: plainCommand },
  { weight: 1, arbitrary: noted },
  {
    weight: 1,
    arbitrary: record({
      type: ofType('keyed'),
      idempotencyKey: bytes(1, 256),
      command: fc.oneof(plainCommand, noted).map(encodeCommand),
    }),
  },
);

const entry: fc.Arbitrary<Entry> = record({
  key,
  value,
  createRevision: uint,
  modRevision: uint,
  version: uint,
  lease: uint,
});

const operationResult: fc.Arbitrary<TxnOperationResult> = fc.oneof(
  record({ type: ofType('put') }),
  record({ type: ofType('added'), value: int64 }),
  record({ type: ofType('deleted'), deleted: uint }),
  record({ type: ofType('entry'), entry: fc.option(entry) }),
);

const appliedResult: fc.Arbitrary<CommandResult> = fc.oneof(
  record({ type: ofType('put'), revision: uint }),
  record({ type: ofType('deleted'), revision: uint, deleted: uint }),
  record({ type: ofType('session'), session: uint }),
  record({ type: ofType('done') }),
  record({ type: ofType('error'), code: fc.constantFrom(...ERROR_CODES), message: text }),
  record({
    type: ofType('txn'),
    revision: uint,
    succeeded: fc.boolean(),
    results: fc.array(operationResult, { maxLength: 5 }),
  }),
  record({ type: ofType('lease'), lease: uint, ttlMs: uint }),
);

const outcome: fc.Arbitrary<OperationOutcome> = fc.oneof(
  record({ status: ofType('applied'), result: appliedResult }),
  record({ status: fc.constantFrom('never' as const, 'answered' as const, 'forgotten' as const) }),
);

export const result: fc.Arbitrary<CommandResult> = fc.oneof(
  { weight: 6, arbitrary: appliedResult },
  { weight: 1, arbitrary: record({ type: ofType('outcome'), outcome }) },
);

export const batch = record({
  ballot: fc.oneof(
    fc.constant(NO_LEADER),
    record({ counter: fc.integer({ min: 1, max: 2 ** 52 }), replicaId: id }),
  ),
  clusterMs: uint,
  wallMs: uint,
  commands: fc.array(bytes(0, 200), { maxLength: 40 }),
});

export const ballot: fc.Arbitrary<Ballot> = record({
  counter: uint,
  replicaId: id,
  incarnation: identifier,
});

const member = record({
  replicaId: id,
  incarnation: identifier,
  role: fc.constantFrom('voter' as const, 'learner' as const, 'witness' as const),
  address: text,
});

export const configuration: fc.Arbitrary<Configuration> = record({
  clusterId: identifier,
  alpha: fc.integer({ min: 1, max: 4096 }),
  replaces: uint,
  members: fc.uniqueArray(member, { selector: (m) => m.replicaId, minLength: 1, maxLength: 9 }),
}).map((c) => ({
  ...c,
  members: c.members.sort((a, b) => a.replicaId - b.replicaId),
  acceptQuorum: c.members.length - 1,
}));

export const configurations: fc.Arbitrary<ConfigurationAt[]> = fc
  .uniqueArray(record({ slot: id, configuration }), { selector: (c) => c.slot, maxLength: 3 })
  .map((list) => list.sort((a, b) => a.slot - b.slot));

export const logValue: fc.Arbitrary<Value> = fc.oneof(
  record({ type: fc.constant('noop' as const) }),
  record({ type: fc.constant('batch' as const), bytes: value }),
  record({ type: fc.constant('configuration' as const), configuration }),
);

export const logEntry: fc.Arbitrary<LogEntry> = record({
  slot: uint,
  ballot,
  value: logValue,
  chosen: fc.boolean(),
});

const digest = record({ slot: uint, hash: fc.constantFrom('', '0123456789abcdef') });
export const message: fc.Arbitrary<Message> = fc.oneof(
  record({ type: ofType('probe'), attempt: uint, ballot }),
  record({ type: ofType('probe-answer'), attempt: uint, granted: fc.boolean(), promised: ballot }),
  record({ type: ofType('prepare'), ballot, fromSlot: uint }),
  record({
    type: ofType('promise'),
    ballot,
    fromSlot: uint,
    throughSlot: fc.option(uint),
    accepted: fc.array(logEntry, { maxLength: 4 }),
    chosenThrough: uint,
  }),
  record({ type: ofType('accept'), ballot, slot: uint, value: logValue, chosenThrough: uint }),
  record({ type: ofType('accepted'), ballot, slots: fc.array(uint, { maxLength: 40 }) }),
  record({ type: ofType('nack'), refused: ballot, promised: ballot }),
  record({ type: ofType('heartbeat'), ballot, round: uint, chosenThrough: uint, digest }),
  record({ type: ofType('heartbeat-answer'), ballot, round: uint, chosenThrough: uint, digest }),
  record({ type: ofType('fetch'), fromSlot: uint, throughSlot: uint }),
  record({
    type: ofType('chosen'),
    entries: fc.array(record({ slot: uint, value: logValue }), { maxLength: 4 }),
    chosenThrough: uint,
  }),
  record({ type: ofType('cut'), cutThrough: uint }),
  record({ type: ofType('take-over'), ballot }),
  record({ type: ofType('rolled-back'), heard: uint, incarnation: identifier }),
);

const consistency = fc.constantFrom('linearizable' as const, 'stale' as const);
const timeoutMs = fc.nat(3_600_000);

const range = { from: bytes(0, 40), to: bytes(0, 40) };
const position = record({ revision: uint, index: uint });

export const request: fc.Arbitrary<Request> = fc.oneof(
  record({ type: ofType('mutate'), timeoutMs, command: command.map(encodeCommand) }),
  record({ type: ofType('get'), timeoutMs, consistency, key, revision: uint }),
  record({
    type: ofType('scan'),
    timeoutMs,
    consistency,
    ...range,
    limit: uint,
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    revision: uint,
    reverse: fc.boolean(),
  }),
  record({ type: ofType('leases'), timeoutMs, consistency, lease: uint, after: uint }),
  record({ type: ofType('history'), timeoutMs, consistency, ...range, start: position, limit: uint }),
);

export const watchRequest = record({ ...range, fromRevision: uint, previous: fc.boolean() });

const lease: fc.Arbitrary<Lease> = record({
  lease: uint,
  ttlMs: uint,
  remainingMs: uint,
  keys: fc.array(key, { maxLength: 4 }),
});

export const note: fc.Arbitrary<RevisionNote> = record({
  wallMs: uint,
  session: uint,
  sequence: uint,
  idempotencyKey: bytes(0, 256),
  principal: text,
  reason: text,
});

const event: fc.Arbitrary<KvEvent> = fc.oneof(
  record({ type: ofType('put'), entry, previous: fc.option(entry) }),
  record({ type: ofType('delete'), key, modRevision: uint, previous: fc.option(entry) }),
);
const events = fc.array(event, { maxLength: 4 });

export const watchMessage: fc.Arbitrary<WatchMessage> = fc.oneof(
  record({ type: ofType('created'), revision: uint }),
  record({ type: ofType('events'), previous: uint, revision: uint, more: fc.boolean(), events }),
  record({ type: ofType('progress'), revision: uint, behind: fc.boolean() }),
  record({
    type: ofType('ended'),
    code: fc.constantFrom(...ERROR_CODES),
    message: text,
    resumeRevision: uint,
  }),
);

export const response: fc.Arbitrary<Response> = fc.oneof(
  record({ type: ofType('result'), result }),
  record({ type: ofType('entry'), entry: fc.option(entry), revision: uint }),
  record({
    type: ofType('page'),
    entries: fc.array(entry, { maxLength: 5 }),
    count: uint,
    next: fc.option(key),
    revision: uint,
  }),
  record({
    type: ofType('leases'),
    leases: fc.array(lease, { maxLength: 4 }),
    more: fc.boolean(),
    revision: uint,
  }),
  record({
    type: ofType('history'),
    revisions: fc.array(record({ revision: uint, note, events }), { maxLength: 3 }),
    next: fc.option(position),
    revision: uint,
    compactRevision: uint,
  }),
  record({
    type: ofType('error'),
    code: fc.constantFrom(...ERROR_CODES),
    message: text,
    outcome: fc.constantFrom('not-done' as const, 'unknown' as const),
  }),
);

export const peerMessage: fc.Arbitrary<PeerMessage> = fc.oneof(
  { weight: 6, arbitrary: message },
  { weight: 1, arbitrary: record({ type: ofType('forward'), forwardId: uint, request }) },
  { weight: 1, arbitrary: record({ type: ofType('forward-reply'), forwardId: uint, response }) },
  {
    weight: 1,
    arbitrary: record({
      type: ofType('snapshot-fetch'),
      snapshotId: uint,
      sequence: uint,
      headOnly: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: record({
      type: ofType('snapshot-chunk'),
      snapshotId: uint,
      sequence: uint,
      last: fc.boolean(),
      slot: uint,
      configurations,
      records: value,
    }),
  },
  { weight: 1, arbitrary: record({ type: ofType('snapshot-gone'), snapshotId: uint }) },
  {
    weight: 1,
    arbitrary: record({
      type: ofType('report'),
      durableThrough: uint,
      heldThrough: uint,
      heldSlot: uint,
      slowMs: uint,
      witness: fc.boolean(),
      hears: fc.array(record({ replicaId: id, incarnation: identifier }), { maxLength: 9 }),
    }),
  },
  { weight: 1, arbitrary: record({ type: ofType('dismissed'), slot: uint, incarnation: identifier }) },
);

export const clientHello = record({
  type: ofType('client-hello'),
  protocolVersion: fc.constant(1),
  clusterId: fc.oneof(fc.constant(''), identifier),
  name: text,
});

export const welcome = record({
  type: ofType('welcome'),
  protocolVersion: fc.constant(1),
  clusterId: fc.oneof(fc.constant(''), identifier),
  replicaId: id,
  leaderId: fc.nat(9),
  members: fc.array(record({ id, address: text }), { maxLength: 9 }),
});

export const peerHello = record({
  type: ofType('peer-hello'),
  protocolVersion: fc.constant(1),
  clusterId: fc.oneof(fc.constant(''), identifier),
  replicaId: id,
  incarnation: identifier,
  address: text,
  founding: text,
});
