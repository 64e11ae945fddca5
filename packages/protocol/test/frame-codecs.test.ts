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
import { encodeClientHello, encodeRequest, encodeResponse, encodeWelcome } from '../src/requests-codec.js';
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
  const get = { type: 'get', timeoutMs: 5, consistency: 'stale', key: utf8('a') } as const;
  t.equal(hex(encodeRequest(8, get)), '930208940205 01c40161'.replace(' ', ''));
  t.equal(
    hex(encodeResponse(7, { type: 'result', result: { type: 'put', revision: 12 } })),
    '930207920192010c',
  );
  t.equal(hex(encodeResponse(8, { type: 'entry', entry: null, revision: 12 })), '9302089302c00c');
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
  const good = encodeRequest(3, { type: 'get', timeoutMs: 5, consistency: 'stale', key: utf8('a') });
  const items = (middle: string) => clientItems(Buffer.concat([good, unhex(middle), good])).slice(1, -1);
  t.strictSame(items('93 02 09 94 02 05 01 c400'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'an empty key');
  t.strictSame(items(`93 02 09 94 02 05 01 c51001${'00'.repeat(4_097)}`), [['invalid', 9, 'KVD_TOO_LARGE']]);
  t.strictSame(
    items('93 02 09 94 02 ce ffffffff 01 c40161'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a timeout of years',
  );
  t.strictSame(
    items('93 02 09 94 02 05 02 c40161'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a third consistency',
  );
  t.strictSame(
    items('93 02 09 93 01 05 c402 92ff'),
    [['invalid', 9, 'KVD_BAD_REQUEST']],
    'a command that is none',
  );
  t.strictSame(items('93 02 09 81 a161 92 01 c0'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'a map');
  t.strictSame(items('93 02 09 cb 3ff0000000000000'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'a float');
  t.strictSame(items('93 02 09 91 63'), [['invalid', 9, 'KVD_BAD_REQUEST']], 'a request of the future');
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
    ['a hello without a name', '93 01 01 c400'],
    ['a cluster id of three bytes', '94 01 01 c403000000 a0'],
    ['a name of a kilobyte', `94 01 01 c400 da0400${'61'.repeat(1_024)}`],
  ] as const) {
    t.throws(() => clientItems(unhex(bytes)), BAD_FRAME, what);
  }
  for (const bad of ['01', '93 02 09', '93 02 09 9105', '93 03 09 c0', '96 01 01 c400 01 01 dd ffffffff']) {
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
    ['a forward of a bad request', '94 0f 01 01 94 02 05 01 c400'],
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
