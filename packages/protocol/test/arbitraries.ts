/** Generators of everything that the codecs carry, for fast-check. */
import type { Ballot, Configuration, ConfigurationAt, LogEntry, Message, Value } from '@kvd/paxos';
import fc from 'fast-check';
import type { Command, CommandResult } from '../src/commands.js';
import { ERROR_CODES } from '../src/errors.js';
import type { PeerMessage } from '../src/peer.js';
import type { Entry, Request, Response } from '../src/requests.js';
import { encodeCommand } from '../src/command-codec.js';

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

const plainCommand: fc.Arbitrary<Command> = fc.oneof(
  record({ type: fc.constant('open-session' as const) }),
  record({ type: fc.constant('keep-alive' as const), session: uint }),
  record({ type: fc.constant('close-session' as const), session: uint }),
  record({ type: fc.constant('put' as const), origin, key, value }),
  record({ type: fc.constant('delete' as const), origin, key }),
  record({ type: fc.constant('delete-range' as const), origin, from: bytes(0, 40), to: bytes(0, 40) }),
);

export const command: fc.Arbitrary<Command> = fc.oneof(
  plainCommand,
  record({
    type: fc.constant('keyed' as const),
    idempotencyKey: bytes(1, 256),
    command: plainCommand.map(encodeCommand),
  }),
);

export const result: fc.Arbitrary<CommandResult> = fc.oneof(
  record({ type: fc.constant('put' as const), revision: uint }),
  record({ type: fc.constant('deleted' as const), revision: uint, deleted: uint }),
  record({ type: fc.constant('session' as const), session: uint }),
  record({ type: fc.constant('done' as const) }),
  record({ type: fc.constant('error' as const), code: fc.constantFrom(...ERROR_CODES), message: text }),
);

export const batch = record({
  tag: record({ proposer: uint, count: uint }),
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
const ofType = <T extends string>(type: T) => fc.constant(type);

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

export const request: fc.Arbitrary<Request> = fc.oneof(
  record({ type: ofType('mutate'), timeoutMs, command: command.map(encodeCommand) }),
  record({ type: ofType('get'), timeoutMs, consistency, key }),
  record({
    type: ofType('scan'),
    timeoutMs,
    consistency,
    from: bytes(0, 40),
    to: bytes(0, 40),
    limit: uint,
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
  }),
);

const entry: fc.Arbitrary<Entry> = record({
  key,
  value,
  createRevision: uint,
  modRevision: uint,
  version: uint,
});

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
  { weight: 1, arbitrary: record({ type: ofType('snapshot-fetch'), snapshotId: uint, sequence: uint }) },
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
