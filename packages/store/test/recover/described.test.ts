/** What is told of the commands in a slot that may be lost. */
import { encodeCommand } from '@kvd/protocol';
import t from 'tap';
import { describeValue } from '../../src/recover/described.js';
import { batch, bytes, del, delRange, keyed, put, text } from '../helpers.js';

const told = (value: Parameters<typeof describeValue>[0]): unknown =>
  describeValue(value).commands.map(({ type, session, sequence, idempotencyKey, principal, keys }) => [
    type,
    `${session}.${sequence}`,
    text(idempotencyKey),
    principal,
    keys.map(text).join(' '),
  ]);

t.test('who and which keys, however it is wrapped', async (t) => {
  const origin = { session: 65_536, sequence: 7, lowestUnanswered: 7 };
  const commands = [
    put('a', '1', origin),
    keyed('order-1', del('b')),
    delRange('c', 'd'),
    { type: 'noted', principal: 'ann', reason: 'why', command: encodeCommand(put('e', '1')) } as const,
    {
      type: 'txn',
      origin,
      compares: [{ key: bytes('f'), target: 'exists', exists: true }],
      success: [
        { type: 'put', key: bytes('f'), value: bytes(''), lease: 0 },
        { type: 'add', key: bytes('g'), delta: 1n },
      ],
      failure: [{ type: 'delete-range', from: bytes('h'), to: bytes('i') }],
    } as const,
    { type: 'keep-alive', session: 65_536 } as const,
  ];
  t.same(told(batch(commands)), [
    ['put', '65536.7', '', '', 'a'],
    ['delete', '0.0', 'order-1', '', 'b'],
    ['delete-range', '0.0', '', '', 'c d'],
    ['put', '0.0', '', 'ann', 'e'],
    ['txn', '65536.7', '', '', 'f g h i'],
    ['keep-alive', '65536.0', '', '', ''],
  ]);
});

t.test('a no-op, and bytes that are no batch', async (t) => {
  t.same(describeValue({ type: 'noop' }), { type: 'noop', wallMs: null, commands: [] });
  t.same(told({ type: 'batch', bytes: bytes('nonsense') }), []);
});
