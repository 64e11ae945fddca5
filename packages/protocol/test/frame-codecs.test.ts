import assert from 'node:assert/strict';
import { decode, decodeMulti } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { encodeCommand } from '../src/command-codec.js';
import {
  decodeBallot,
  decodeConfiguration,
  decodeConfigurations,
  decodeLogEntry,
  decodeValue,
  encodeBallot,
  encodeConfiguration,
  encodeConfigurations,
  encodeLogEntry,
  encodeValue,
} from '../src/configuration-codec.js';
import { decodePeerFrame, decodePeerHello, encodePeerHello, encodePeerMessage } from '../src/peer-codec.js';
import {
  encodeClientHello,
  encodeRequest,
  encodeResponse,
  encodeUnwatch,
  encodeWatch,
  encodeWatchMessage,
  encodeWelcome,
} from '../src/requests-codec.js';
import { eventBytes, readNote, writeNote } from '../src/history-codec.js';
import { CLIENT_FRAME_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../src/limits.js';
import { MsgpackReader } from '../src/msgpack-reader.js';
import { MsgpackWriter } from '../src/msgpack-writer.js';
import type { WatchMessage } from '../src/requests.js';
import * as gen from './arbitraries.js';
import { clientItems, hex, holds, peerEnvelopes, serverItems, unhex, utf8 } from './frames.js';

const BAD_FRAME = { code: 'KVD_BAD_FRAME' };
const inc = (digit: string) => digit.repeat(32);
const ballot = { counter: 3, replicaId: 1, incarnation: inc('a') };
const member = { replicaId: 1, incarnation: inc('a'), role: 'voter' as const, address: 'h:1' };
const configuration = {
  clusterId: inc('c'),
  alpha: 64,
  replaces: 0,
  members: [member],
  acceptQuorum: 0,
};

t.test('the core’s data comes back as it went', async (t) => {
  const same = <T>(values: fc.Arbitrary<T>, encode: (v: T) => Uint8Array, decodeIt: (b: Uint8Array) => T) =>
    holds(
      t,
      fc.property(values, (v) => assert.deepStrictEqual(decodeIt(encode(v)), v)),
    );
  same(gen.ballot, encodeBallot, decodeBallot);
  same(gen.configuration, encodeConfiguration, decodeConfiguration);
  same(gen.configurations, encodeConfigurations, decodeConfigurations);
  same(gen.logValue, encodeValue, decodeValue);
  same(gen.logEntry, encodeLogEntry, decodeLogEntry);
});

t.test('many requests in one message come out one by one, and so do answers', async (t) => {
  holds(
    t,
    fc.property(gen.clientHello, fc.array(gen.request), (hello, requests) => {
      const frame = Buffer.concat([
        encodeClientHello(hello),
        ...requests.map((r, i) => encodeRequest(i + 1, r)),
      ]);
      assert.deepStrictEqual(clientItems(frame), [
        ['hello', hello],
        ...requests.map((r, i) => ['request', i + 1, r]),
      ]);
    }),
  );
  holds(
    t,
    fc.property(gen.welcome, fc.array(gen.response), (welcome, responses) => {
      const frame = Buffer.concat([encodeWelcome(welcome), ...responses.map((r, i) => encodeResponse(i, r))]);
      assert.deepStrictEqual(serverItems(frame), [
        ['welcome', welcome],
        ...responses.map((r, i) => ['response', i, r]),
      ]);
    }),
  );
});

t.test('watches, and what they are told, come back as they went, among requests and answers', async (t) => {
  holds(
    t,
    fc.property(fc.array(gen.watchRequest), gen.request, (watches, request) => {
      const frame = Buffer.concat([
        ...watches.map((w, i) => encodeWatch(i + 1, w)),
        encodeRequest(1, request),
        encodeUnwatch(1),
      ]);
      assert.deepStrictEqual(clientItems(frame), [
        ...watches.map((w, i) => ['watch', i + 1, w]),
        ['request', 1, request],
        ['unwatch', 1],
      ]);
    }),
  );
  holds(
    t,
    fc.property(fc.array(gen.watchMessage), gen.response, (messages, response) => {
      const frame = Buffer.concat([
        ...messages.map((m, i) => encodeWatchMessage(i + 1, m)),
        encodeResponse(1, response),
      ]);
      assert.deepStrictEqual(serverItems(frame), [
        ...messages.map((m, i) => ['told', i + 1, m]),
        ['response', 1, response],
      ]);
    }),
  );
  const types = new Set(fc.sample(gen.watchMessage, 200).map(({ type }) => type));
  t.strictSame([...types].sort(), ['created', 'ended', 'events', 'progress'], 'all types are generated');
});

t.test('notes come back as they went', async (t) => {
  holds(
    t,
    fc.property(gen.note, (note) => {
      const writer = new MsgpackWriter();
      writer.begin();
      writeNote(writer, note);
      const reader = new MsgpackReader(writer.finish());
      assert.deepStrictEqual(readNote(reader), note);
      reader.end('note');
    }),
  );
});

t.test('an event with the largest key, value and previous value fits a message', async (t) => {
  const largest = {
    key: new Uint8Array(KEY_BYTES_MAX),
    value: new Uint8Array(VALUE_BYTES_MAX),
    createRevision: Number.MAX_SAFE_INTEGER,
    modRevision: Number.MAX_SAFE_INTEGER,
    version: Number.MAX_SAFE_INTEGER,
    lease: Number.MAX_SAFE_INTEGER,
  };
  const events = [{ type: 'put' as const, entry: largest, previous: largest }];
  const told = encodeWatchMessage(9, { type: 'events', previous: 1, revision: 2, more: false, events });
  t.ok(told.length <= CLIENT_FRAME_BYTES_MAX, `${told.length} bytes`);
  t.ok(eventBytes(events[0] ?? assert.fail()) >= 2 * (KEY_BYTES_MAX + VALUE_BYTES_MAX), 'and is counted so');
});

t.test('the longest key alone can be watched; a longer one cannot', async (t) => {
  const from = new Uint8Array(KEY_BYTES_MAX).fill(0x61);
  const request = { from, to: Uint8Array.of(...from, 0), fromRevision: 0, previous: false };
  t.strictSame(clientItems(encodeWatch(1, request)), [['watch', 1, request]]);
  const longer = { ...request, from: request.to };
  t.strictSame(clientItems(encodeWatch(1, longer)), [['invalid watch', 1, 'KVD_TOO_LARGE']]);
});

t.test('messages between replicas come back as they went, with the marker of their sender', async (t) => {
  holds(
    t,
    fc.property(fc.array(fc.tuple(gen.uint, gen.peerMessage), { maxLength: 5 }), (pairs) => {
      const frame = Buffer.concat(pairs.map(([marker, message]) => encodePeerMessage(marker, message)));
      assert.deepStrictEqual(
        peerEnvelopes(frame),
        pairs.map(([marker, message]) => ({ marker, message })),
      );
      assert.equal([...decodeMulti(frame)].length, pairs.length, 'the library sees as many');
    }),
    { numRuns: 500 },
  );
  holds(
    t,
    fc.property(gen.peerHello, (hello) =>
      assert.deepStrictEqual(decodePeerHello(encodePeerHello(hello)), hello),
    ),
  );
});

t.test('the bytes of frames, for who writes a client in another language', async (t) => {
  const hello = { type: 'client-hello', protocolVersion: 1, clusterId: '', name: 'me' } as const;
  t.equal(hex(encodeClientHello(hello)), '940101c400a26d65');
  const command = encodeCommand({ type: 'open-session' });
  t.equal(hex(encodeRequest(7, { type: 'mutate', timeoutMs: 1_000, command })), '9302079301cd03e8c4029101');
  const get = { type: 'get', timeoutMs: 5, consistency: 'stale', key: utf8('a'), revision: 3 } as const;
  t.equal(hex(encodeRequest(8, get)), '93020895020501c4016103');
  t.equal(
    hex(encodeResponse(7, { type: 'result', result: { type: 'put', revision: 12 } })),
    '930207920192010c',
  );
  t.equal(hex(encodeResponse(8, { type: 'entry', entry: null, revision: 12 })), '9302089302c00c');
  const entry = {
    key: utf8('a'),
    value: utf8('1'),
    createRevision: 2,
    modRevision: 3,
    version: 4,
    lease: 5,
  };
  t.equal(
    hex(encodeResponse(8, { type: 'entry', entry, revision: 12 })),
    '930208930296c40161c40131020304050c',
  );
  const watch = { from: utf8('a'), to: utf8('b'), fromRevision: 7, previous: true };
  t.equal(hex(encodeWatch(9, watch)), '960309c40161c4016207c3');
  t.equal(hex(encodeUnwatch(9)), '920409');
  const told = (message: WatchMessage) => hex(encodeWatchMessage(9, message));
  t.equal(told({ type: 'created', revision: 6 }), '930309920106');
  const deleted = { type: 'delete', key: utf8('a'), modRevision: 8, previous: entry } as const;
  const events = [{ type: 'put', entry, previous: null } as const, deleted];
  t.equal(
    told({ type: 'events', previous: 6, revision: 8, more: true, events }),
    '93030995020608c3929301 96c40161c4013102030405 c0 9402c4016108 96c40161c4013102030405'.replaceAll(
      ' ',
      '',
    ),
  );
  t.equal(told({ type: 'progress', revision: 8, behind: false }), '930309930308c2');
  t.equal(
    told({ type: 'ended', code: 'KVD_COMPACTED', message: 'no', resumeRevision: 9 }),
    '930309940408a26e6f09',
  );
});

t.test('the bytes between replicas', async (t) => {
  const a = 'aa'.repeat(16);
  const accept = {
    type: 'accept',
    ballot,
    slot: 9,
    value: { type: 'batch', bytes: utf8('x') },
    chosenThrough: 8,
  } as const;
  t.equal(hex(encodePeerMessage(5, accept)), `960505930301c410${a}099202c4017808`);
  t.equal(
    hex(encodePeerMessage(5, { type: 'accepted', ballot, slots: [9, 10] })),
    `940605930301c410${a}92090a`,
  );
  t.equal(hex(encodePeerMessage(0, { type: 'snapshot-gone', snapshotId: 3 })), '93130003');
  t.equal(hex(encodeValue({ type: 'noop' })), '9101');
  t.strictSame(decode(encodeConfiguration(configuration)), [
    unhex(inc('c')),
    64,
    0,
    [[1, unhex(inc('a')), 0, 'h:1']],
    0,
  ]);
});

t.test('a request that is framed well but no good is answered, and the ones after it are read', async (t) => {
  const good = encodeRequest(3, {
    type: 'get',
    timeoutMs: 5,
    consistency: 'stale',
    key: utf8('a'),
    revision: 0,
  });
  const items = (middle: string) => clientItems(Buffer.concat([good, unhex(middle), good])).slice(1, -1);
  t.strictSame(items('93 02 09 95 02 05 01 c400 00'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'an empty key');
  t.strictSame(items(`93 02 09 95 02 05 01 c51001${'00'.repeat(4_097)} 00`), [
    ['invalid', 9, 'KVD_TOO_LARGE'],
  ]);
  t.strictSame(
    items('93 02 09 95 02 ce ffffffff 01 c40161 00'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a timeout of years',
  );
  t.strictSame(
    items('93 02 09 95 02 05 02 c40161 00'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a third consistency',
  );
  t.strictSame(
    items('93 02 09 93 01 05 c402 92ff'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a command that is none',
  );
  t.strictSame(
    items('93 02 09 94 02 05 01 c40161'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a get of the format before',
  );
  t.strictSame(
    items('93 02 09 97 05 05 00 c400 c400 91 01 00'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'half a position',
  );
  t.strictSame(items('93 02 09 81 a161 92 01 c0'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'a map');
  t.strictSame(items('93 02 09 cb 3ff0000000000000'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'a float');
  t.strictSame(items('93 02 09 91 63'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'a request of the future');
  t.strictSame(
    items('96 03 07 c40161 c40162 00 01'),
    [['invalid watch', 7, 'KVD_BAD_REQUEST']],
    'a watch that says 1 for true',
  );
  const many = Buffer.concat(Array.from({ length: 257 }, () => unhex('93 02 09 c0')));
  t.throws(() => clientItems(many), BAD_FRAME, 'hundreds of them are not a mistake any more');
});

t.test('what cannot be framed is refused', async (t) => {
  for (const [what, bytes] of [
    ['no array', '01'],
    ['half an item', '93 02 09 94 02 05'],
    ['an item of the future', '93 09 09 c0'],
    ['request id 0', '93 02 00 91 63'],
    ['a negative request id', '93 02 ff 91 63'],
    ['a request with a field too many', '94 02 09 91 63 c0'],
    ['a header that asks for gigabytes', '93 02 09 dd ffffffff'],
    ['a watch with id 0', '96 03 00 c40161 c40162 00 c2'],
    ['a watch with a field too few', '95 03 01 c40161 c40162 00'],
    ['an unwatch of nothing', '92 04 00'],
    ['a hello without a name', '93 01 01 c400'],
    ['a cluster id of three bytes', '94 01 01 c403000000 a0'],
    ['a name of a kilobyte', `94 01 01 c400 da0400${'61'.repeat(1_024)}`],
  ] as const) {
    t.throws(() => clientItems(unhex(bytes)), BAD_FRAME, what);
  }
  for (const bad of [
    '01',
    '93 02 09',
    '93 02 09 9105',
    '93 05 09 c0',
    '96 01 01 c400 01 01 dd ffffffff',
    '93 03 00 92 01 01',
    '93 03 01 92 05 01',
    '93 03 01 93 01 01 01',
    '93 03 01 95 02 01 02 c2 dd ffffffff',
    '93 03 01 95 02 01 02 c2 91 92 01 c0',
    '93 03 01 95 02 01 02 c2 91 93 03 c0 c0',
    '93 03 01 94 04 ccff a0 01',
    '93 02 09 95 06 91 92 01 c0 c0 01 01',
    '93 02 09 94 05 91 94 01 01 01 dd ffffffff c2 01',
  ]) {
    t.throws(() => serverItems(unhex(bad)), BAD_FRAME, bad);
  }
});

t.test('another protocol version is told apart from garbage, whatever follows the number', async (t) => {
  t.throws(() => clientItems(unhex('93 01 02 c0')), { code: 'KVD_PROTOCOL_VERSION' });
  t.throws(() => serverItems(unhex('93 01 07 c0')), { code: 'KVD_PROTOCOL_VERSION' });
  t.throws(() => decodePeerHello(unhex('93 00 02 c0')), { code: 'KVD_PROTOCOL_VERSION' });
});

t.test('a peer that does not keep to the table is refused', async (t) => {
  const a = 'aa'.repeat(16);
  const peer = (bytes: string) => () => decodePeerFrame(unhex(bytes), () => {});
  for (const [what, bytes] of [
    ['no array', '01'],
    ['a second hello', '97 00 01 c400 01 c0 a0 a0'],
    ['a message of the future', '93 14 01 01'],
    ['a type with the wrong number of fields', '93 01 01 01'],
    ['half a ballot', '94 03 01 92 01 01 01'],
    ['an incarnation of three bytes', '94 03 01 93 01 01 c403000000 01'],
    ['a replica id above 2^31', `94 03 01 93 01 ce80000000 c410${a} 01`],
    ['a value of the future', `96 05 01 93 01 01 c410${a} 01 91 04 01`],
    ['more slots than there can be', `94 06 01 93 01 01 c410${a} dd 00001001`],
    ['a slot list that asks for gigabytes', `94 06 01 93 01 01 c410${a} dd ffffffff`],
    ['a forward of a bad request', '94 0f 01 01 95 02 05 01 c400 00'],
    ['a forward of a bad command', '94 0f 01 01 93 01 05 c402 92ff'],
    ['a batch above its bound', `96 05 01 93 01 01 c410${a} 01 92 02 c6 00ffffff`],
  ] as const) {
    t.throws(peer(bytes), BAD_FRAME, what);
  }
  t.throws(() => decodePeerHello(unhex(`97 00 01 c400 00 c410${a} a0 a0`)), BAD_FRAME, 'replica id 0');
  t.throws(() => decodePeerHello(unhex('93 01 01 01')), BAD_FRAME, 'no hello');
  const hello = encodePeerHello({
    type: 'peer-hello',
    protocolVersion: 1,
    clusterId: '',
    replicaId: 1,
    incarnation: inc('a'),
    address: 'h:1',
    founding: '',
  });
  t.throws(() => decodePeerHello(Buffer.concat([hello, hello])), BAD_FRAME, 'two hellos');
});

t.test('a configuration that cannot be is refused', async (t) => {
  const refused = (change: Partial<typeof configuration>, what: string) =>
    t.throws(
      () => decodeConfiguration(encodeConfiguration({ ...configuration, ...change })),
      BAD_FRAME,
      what,
    );
  refused({ alpha: 0 }, 'alpha 0');
  refused({ alpha: 4_097 }, 'alpha above its bound');
  refused({ members: [] }, 'nobody');
  refused({ members: [member, member] }, 'a member twice');
  refused({ acceptQuorum: 2 }, 'a quorum of more than there are');
  const many = Array.from({ length: 65 }, (_, i) => ({ ...member, replicaId: i + 1 }));
  refused({ members: many }, 'more members than there can be');
  const at = { slot: 1, configuration };
  t.throws(() => decodeConfigurations(encodeConfigurations([at, at])), BAD_FRAME, 'a slot twice');
});

t.test('our own identifiers are checked where they are written', async (t) => {
  t.throws(() => encodeBallot({ ...ballot, incarnation: 'none' }), { code: 'KVD_INTERNAL' });
});
