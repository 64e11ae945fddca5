/**
 * docs/PROTOCOL.md tells how to write a client in another language. What it says in bytes and in numbers is what the
 * codecs do, or this fails.
 */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import {
  encodeBatch,
  encodeClientHello,
  encodeCommand,
  encodePeerMessage,
  encodeRequest,
  encodeResponse,
  encodeUnwatch,
  encodeWatch,
  encodeWatchMessage,
  encodeWelcome,
  ERROR_CODES,
  ERRORS,
  PROTOCOL_VERSION,
  type PeerMessage,
} from '../src/index.js';

const manual = readFileSync(new URL('../../../docs/PROTOCOL.md', import.meta.url), 'utf8');
const codeBlocks = [...manual.matchAll(/^```\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
/** Every run of bytes written as pairs of hex digits, over line ends, with who sends it left out. */
const documentedBytes = codeBlocks.join('\n').replace(/[^0-9a-f]+/g, ' ');

const utf8 = (text: string) => new TextEncoder().encode(text);
const hex = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/(..)(?!$)/g, '$1 ');

const inSession = { session: 131_072, sequence: 1, lowestUnanswered: 1 };
const putCommand = encodeCommand({ type: 'put', origin: inSession, key: utf8('a'), value: utf8('1') });
const ballot = { counter: 3, replicaId: 1, incarnation: '0123456789abcdef0123456789abcdef' };

t.test('the example of a client that puts and gets', async (t) => {
  const members = [1, 2, 3].map((id) => ({ id, address: `127.0.0.1:${14_999 + id}` }));
  const entry = {
    key: utf8('a'),
    value: utf8('1'),
    createRevision: 12,
    modRevision: 12,
    version: 1,
    lease: 0,
  };
  const open = encodeCommand({ type: 'open-session' });
  const example: Record<string, Uint8Array> = {
    hello: encodeClientHello({ type: 'client-hello', protocolVersion: 1, clusterId: '', name: 'doc' }),
    welcome: encodeWelcome({
      type: 'welcome',
      protocolVersion: 1,
      clusterId: '00112233445566778899aabbccddeeff',
      replicaId: 2,
      leaderId: 1,
      members,
    }),
    'open-session': encodeRequest(1, { type: 'mutate', timeoutMs: 5000, command: open }),
    session: encodeResponse(1, { type: 'result', result: { type: 'session', session: 131_072 } }),
    put: encodeRequest(2, { type: 'mutate', timeoutMs: 5000, command: putCommand }),
    'its answer': encodeResponse(2, { type: 'result', result: { type: 'put', revision: 12 } }),
    get: encodeRequest(3, {
      type: 'get',
      timeoutMs: 5000,
      consistency: 'linearizable',
      key: utf8('a'),
      revision: 0,
    }),
    entry: encodeResponse(3, { type: 'entry', entry, revision: 12 }),
    watch: encodeWatch(1, { from: utf8('a'), to: utf8('b'), fromRevision: 12, previous: false }),
    created: encodeWatchMessage(1, { type: 'created', revision: 11 }),
    events: encodeWatchMessage(1, {
      type: 'events',
      previous: 11,
      revision: 12,
      more: false,
      events: [{ type: 'put', entry, previous: null }],
    }),
    progress: encodeWatchMessage(1, { type: 'progress', revision: 40, behind: false }),
    unwatch: encodeUnwatch(1),
    error: encodeResponse(4, {
      type: 'error',
      code: 'KVD_UNAVAILABLE',
      message: 'no leader',
      outcome: 'not-done',
    }),
  };
  for (const [what, bytes] of Object.entries(example)) documents(t, what, bytes);
});

t.test('the example of two replicas that agree on that put', async (t) => {
  const batch = encodeBatch({ ballot, clusterMs: 0, wallMs: 0, commands: [putCommand] });
  const value = { type: 'batch', bytes: batch } as const;
  documents(t, 'accept', encodePeerMessage(6, { type: 'accept', ballot, slot: 9, value, chosenThrough: 8 }));
  documents(t, 'accepted', encodePeerMessage(7, { type: 'accepted', ballot, slots: [9, 10] }));
});

t.test('the numbers of the messages between replicas', async (t) => {
  const documented = new Map(
    [...manual.matchAll(/^\| (\d+) \| ([a-z-]+) \|/gm)].map(([, number, name]) => [name, Number(number)]),
  );
  const digest = { slot: 0, hash: '' };
  const messages: readonly PeerMessage[] = [
    { type: 'probe', attempt: 1, ballot },
    { type: 'probe-answer', attempt: 1, granted: true, promised: ballot },
    { type: 'prepare', ballot, fromSlot: 1 },
    { type: 'promise', ballot, fromSlot: 1, throughSlot: null, accepted: [], chosenThrough: 0 },
    { type: 'accept', ballot, slot: 1, value: { type: 'noop' }, chosenThrough: 0 },
    { type: 'accepted', ballot, slots: [] },
    { type: 'nack', refused: ballot, promised: ballot },
    { type: 'heartbeat', ballot, round: 1, chosenThrough: 0, digest },
    { type: 'heartbeat-answer', ballot, round: 1, chosenThrough: 0, digest },
    { type: 'fetch', fromSlot: 1, throughSlot: 1 },
    { type: 'chosen', entries: [], chosenThrough: 0 },
    { type: 'cut', cutThrough: 1 },
    { type: 'take-over', ballot },
    { type: 'rolled-back', heard: 1, incarnation: ballot.incarnation },
    { type: 'forward', forwardId: 1, request: { type: 'mutate', timeoutMs: 1, command: putCommand } },
    { type: 'forward-reply', forwardId: 1, response: { type: 'result', result: { type: 'done' } } },
    { type: 'snapshot-fetch', snapshotId: 0, sequence: 0, headOnly: false },
    {
      type: 'snapshot-chunk',
      snapshotId: 1,
      sequence: 0,
      last: true,
      slot: 1,
      configurations: [],
      records: utf8(''),
    },
    { type: 'snapshot-gone', snapshotId: 1 },
    { type: 'report', durableThrough: 0, heldThrough: 0, heldSlot: 0, slowMs: 0, witness: false, hears: [] },
    { type: 'dismissed', slot: 1, incarnation: 'a'.repeat(32) },
  ];
  for (const message of messages) {
    t.equal(documented.get(message.type), encodePeerMessage(0, message)[1], message.type);
  }
  t.equal(documented.get('peer-hello'), 0);
  t.equal(documented.size, messages.length + 1, 'no message more or less is documented');
});

t.test('the error codes: number, outcome, and whether to try again', async (t) => {
  const documented = [...manual.matchAll(/^\| (\d+) \| (KVD_[A-Z_]+) \| ([a-z ]+) \| (yes|no) \|/gm)];
  const rows = documented.map(([, number, code, outcome, retry]) => [Number(number), code, outcome, retry]);
  const expected = ERROR_CODES.map((code, number) => {
    const { outcome, retry } = ERRORS[code];
    return [number, code, outcome.replace('-', ' '), retry ? 'yes' : 'no'];
  });
  t.strictSame(rows, expected);
  t.match(manual, `\`protocolVersion\` is ${PROTOCOL_VERSION}.`);
});

function documents(t: Test, what: string, bytes: Uint8Array): void {
  t.ok(documentedBytes.includes(` ${hex(bytes)} `), `${what}: ${hex(bytes)}`);
}
