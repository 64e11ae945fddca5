/** What users of Level see of the client's errors. */
import { ERRORS, type ErrorCode, KvdError } from '@kvd/client';
import t from 'tap';
import { LevelError, toLevelError } from '../src/errors.js';

function codeOf(error: unknown, signal?: AbortSignal): string {
  const mapped = toLevelError(error, signal);
  return mapped instanceof LevelError ? mapped.code : 'none';
}

t.test('the code says what to do, the cause is the error of the client', async (t) => {
  const codes = Object.fromEntries(
    (Object.keys(ERRORS) as ErrorCode[]).map((code) => [code, codeOf(new KvdError(code, 'x'))]),
  );
  t.match(codes, {
    KVD_UNAVAILABLE: 'LEVEL_UNAVAILABLE',
    KVD_TIMEOUT: 'LEVEL_UNAVAILABLE',
    KVD_OVERLOADED: 'LEVEL_UNAVAILABLE',
    KVD_COMPACTED: 'LEVEL_SNAPSHOT_COMPACTED',
    KVD_OUTCOME_UNKNOWN: 'LEVEL_OUTCOME_UNKNOWN',
    KVD_SESSION_EXPIRED: 'LEVEL_OUTCOME_UNKNOWN',
    KVD_CLOSED: 'LEVEL_DATABASE_NOT_OPEN',
    KVD_BAD_REQUEST: 'LEVEL_REMOTE_ERROR',
  });
  const cause = new KvdError('KVD_TIMEOUT', 'not answered');
  t.match(toLevelError(cause), { name: 'LevelError', message: 'not answered', cause });
});

t.test('"nothing was done" is never said of a write that may have been', async (t) => {
  for (const code of Object.keys(ERRORS) as ErrorCode[])
    t.equal(codeOf(new KvdError(code, 'x', 'unknown')), 'LEVEL_OUTCOME_UNKNOWN', code);
});

t.test('an aborted read is an AbortError; a bug stays as it is', async (t) => {
  const controller = new AbortController();
  const closed = new KvdError('KVD_CLOSED', 'aborted');
  t.equal(codeOf(closed, controller.signal), 'LEVEL_DATABASE_NOT_OPEN');
  controller.abort();
  t.match(toLevelError(closed, controller.signal), {
    name: 'AbortError',
    code: 'LEVEL_ABORTED',
    cause: closed,
  });
  const bug = new TypeError('x is not a function');
  t.equal(toLevelError(bug), bug);
});
