/** What cannot be meant is said before any replica is asked: exit 2. What each command does is in test/cluster. */
import t from 'tap';
import { makeCli, shield } from '../src/cli.js';
import { exitCodeOf } from '../src/errors.js';

/** How kvctl would end with these words; nobody answers at the endpoint. */
async function endOf(words: readonly string[]): Promise<{ exitCode: number; message: string }> {
  let exitCode = 0;
  try {
    const onDone = (code: number): void => {
      exitCode = code;
    };
    await makeCli(onDone, []).parseAsync(shield(['-e', '127.0.0.1:1', '--timeout', '50', ...words]));
    return { exitCode, message: '' };
  } catch (error) {
    return { exitCode: exitCodeOf(error), message: error instanceof Error ? error.message : '' };
  }
}

t.test('bad usage of the commands that work on data', async (t) => {
  for (const args of [
    ['put', 'a', '1', '--if-absent', '--if-revision', '1'],
    ['put', 'a', '1', '--if-revision', 'x'],
    ['put', 'a', '1', '--lease', '0'],
    ['get', 'a', '--revision', '0'],
    ['del', '--prefix', 'a', '--if-revision', '1'],
    ['del', '--prefix', ''],
    ['--hex', 'del', '--prefix', ''],
    ['txn', import.meta.dirname],
    ['run', import.meta.dirname],
    ['load', import.meta.dirname],
    ['load', '/does/not/exist'],
    ['check', import.meta.dirname],
    ['snapshot', 'status', import.meta.dirname],
    ['snapshot', 'save', '/does/not/exist'],
    ['scan', '--count', '--reverse'],
    ['txn'],
    ['txn', '/does/not/exist'],
    ['watch', 'a', '--prefix', 'b'],
    ['watch', 'a', 'b', '--', 'true'],
    ['watch', 'a', '--limit', '0'],
    ['lease'],
    ['lease', 'grant', '0'],
    ['lease', 'grant', 'soon'],
    ['lease', 'show', 'x'],
    ['lock'],
    ['lock', '--', 'true'],
    ['lock', 'm', 'true'],
    ['lock', 'm', '--ttl', '0'],
    ['elect', 'e', '--', 'true'],
    ['elect', 'e', 'v', '--observe'],
    ['log', 'a', '--prefix', 'b'],
    ['log', '--limit', '0'],
    ['blame'],
    ['outcome'],
    ['outcome', '7'],
    ['outcome', '1.1', '--idempotency-key', 'k'],
    ['compact'],
    ['compact', '0'],
    ['compact', '5', '--keep-revisions', '5'],
    ['compact', '--keep-ms', '5', '--keep-hours', '1'],
  ]) {
    const { exitCode, message } = await endOf(args);
    t.equal(exitCode, 2, args.join(' '));
    t.not(message, '', 'it says why');
    t.notMatch(message, /\0/);
  }
});

t.test('what is wrong is said in the words that were typed', async (t) => {
  const cases: [words: string[], exitCode: number, message: string | RegExp][] = [
    [['put', 'a', 'b', 'c'], 2, "'c' is too much: kvctl put --help shows what put takes"],
    [['put', '--', '-a', '-b', '-c d'], 2, /^'-c d' is too much/],
    [['cluster', 'up', 'x'], 2, "'x' is too much: kvctl cluster up --help shows what cluster up takes"],
    [['frob'], 2, 'Unknown command: frob'],
    [['cluster', 'frob'], 2, 'Unknown command: frob'],
    [['chaos', 'set', '--fail-rate', '0.05'], 2, /needs --replica N/],
    [['chaos', 'campaign'], 2, /needs --replica N/],
    [['snapshot', 'restore', 'x'], 2, '--data and --peers must be given'],
    [['del', '--prefix', ''], 2, /at least one byte; to delete every key: .*kvctl txn -$/],
    [['get', ''], 4, 'a key has at least one byte'],
    [['put', '', 'x'], 4, 'a key has at least one byte'],
    [['load', '/'], 2, 'cannot read /: it is a directory'],
    [['load', '/does/not/exist'], 2, 'cannot read /does/not/exist: no such file or directory'],
    [['snapshot', 'save', '/does/not/exist'], 2, 'cannot write /does/not/exist: no such file or directory'],
  ];
  for (const [words, exitCode, message] of cases) {
    const end = await endOf(words);
    t.equal(end.exitCode, exitCode, words.join(' '));
    t.match(end.message, message);
  }
});

t.test('good usage gets as far as asking', async (t) => {
  for (const args of [
    ['put', 'a', '1', '--if-revision', '0'],
    ['put', '--', '-k', '--v'],
    ['get', 'a', '--revision', '1'],
    ['scan', 'p', '--reverse', '--limit', '0'],
    ['watch', 'a', '--', 'cat', '--limit'],
    ['watch', '--prefix', '', '--', 'cat'],
    ['watch'],
    ['watch', '--', 'cat'],
    ['lease', 'grant', '0.1'],
    ['lock', 'm', '--ttl', '2.5', '--', 'true'],
    ['elect', 'e', 'v', '--', 'true'],
    ['elect', 'e', '--observe'],
    ['log'],
    ['outcome', '1.1'],
    ['compact', '--keep-ms', '0'],
  ]) {
    t.equal((await endOf(args)).exitCode, 3, args.join(' '));
  }
});
