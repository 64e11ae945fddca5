/** A command that gets its place in a session after it was encoded. */
import { decodeCommand, encodeCommand, NO_ORIGIN, REQUEST_BYTES_MAX, withOrigin } from '@kvd/protocol';
import t from 'tap';

const key = Buffer.from('key');
const origin = { session: 2 ** 40, sequence: 70_000, lowestUnanswered: 300 };

t.test('it is, byte for byte, what encoding it with the origin gives', async (t) => {
  const commands = [
    {
      type: 'txn',
      compares: [{ key, target: 'version', comparison: '=', number: 3 }],
      success: [{ type: 'put', key, value: new Uint8Array(1000), lease: 7 }],
      failure: [{ type: 'get', key }],
    },
    { type: 'lease-grant', ttlMs: 1000 },
    { type: 'lease-revoke', lease: 2 ** 33 },
    { type: 'set-retention', keepRevisions: 10, keepMs: 0 },
    { type: 'put', key, value: key },
  ] as const;
  for (const command of commands) {
    const early = encodeCommand({ ...command, origin: NO_ORIGIN });
    const numbered = withOrigin(early, origin);
    t.same(Buffer.from(numbered), Buffer.from(encodeCommand({ ...command, origin })), command.type);
    t.same(Buffer.from(withOrigin(numbered, NO_ORIGIN)), Buffer.from(early), 'and back');
    t.match(decodeCommand(numbered), { type: command.type, origin });
  }
});

t.test('a command without an origin gets none', async (t) => {
  t.throws(() => withOrigin(encodeCommand({ type: 'keep-alive', session: 1 }), origin));
});

t.test('a command that its numbers make too large is refused', async (t) => {
  const rest = (valueBytes: number) =>
    encodeCommand({
      type: 'txn',
      origin: NO_ORIGIN,
      compares: [],
      success: [
        { type: 'put', key, value: new Uint8Array(1024 * 1024), lease: 0 },
        { type: 'put', key: Buffer.from('k'), value: new Uint8Array(valueBytes), lease: 0 },
      ],
      failure: [],
    });
  const spare = REQUEST_BYTES_MAX - rest(500 * 1024).length;
  t.throws(() => withOrigin(rest(500 * 1024 + spare), origin), { code: 'KVD_TOO_LARGE' });
});
