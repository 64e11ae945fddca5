/** `kvctl check` as a user runs it: a real process, real files, its exit codes. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const data = path.join(root, 'packages/checker/test/data');

function check(args: readonly string[], input?: string | Buffer) {
  const { status, stdout, stderr } = spawnSync(path.join(root, 'bin/kvctl'), ['check', ...args], {
    encoding: 'utf8',
    ...(input === undefined ? {} : { input }),
  });
  return { status, stdout, stderr };
}

const PUT = '{"client":"a","op":"put","key":"k","value":"1","start":0,"end":1,"outcome":"ok"}\n';
const STALE = '{"client":"b","op":"get","key":"k","value":null,"start":2,"end":3,"outcome":"ok"}\n';

test('a linearizable history: exit 0', (t) => {
  t.match(check([path.join(data, 'etcd_002.log')]), {
    status: 0,
    stdout: /^77 operations .*\nLINEARIZABLE\n$/,
  });
  t.match(check([path.join(data, 'kv_c10-ok.edn'), '--format', 'edn']), { status: 0 });
  t.end();
});

test('one that is not: exit 1, the piece on stdout, a page in the file', (t) => {
  const page = path.join(t.testdir(), 'out.html');
  t.match(check(['-', '--report', page], PUT + STALE), {
    status: 1,
    stdout: /NOT LINEARIZABLE: 1 key\n[^]*> client b {2}get "k" -> absent/,
    stderr: '',
  });
  t.match(fs.readFileSync(page, 'utf8'), /^<!doctype html>[^]*<\/html>\n$/);
  const { status, stdout } = check(['-', '-o', 'json'], PUT + STALE);
  t.equal(status, 1);
  t.equal(stdout.trim().split('\n').length, 1);
  t.match(JSON.parse(stdout), {
    verdict: 'violated',
    linearizable: false,
    violations: [{ key: 'k', size: 2 }],
  });
  t.end();
});

test('a write that the final reads miss: exit 1 though it is linearizable', (t) => {
  const final = '{"op":"final","replica":"3","key":"k","value":null}\n';
  t.match(check(['-'], PUT + final), {
    status: 1,
    stdout: /LINEARIZABLE, BUT WRONG[^]*writes lost: 1\n.*replica 3/,
  });
  t.end();
});

test('a final value that no order leaves there: exit 1, and the read of it is shown', (t) => {
  const more = [
    '{"client":"a","op":"put","key":"k","value":"2","start":4,"outcome":"unknown"}',
    '{"client":"b","op":"get","key":"k","value":"2","start":5,"end":6,"outcome":"ok"}',
    '{"client":"a","op":"put","key":"k","value":"3","start":7,"end":8,"outcome":"ok"}',
    '{"op":"final","replica":"3","key":"k","value":"2"}',
  ].join('\n');
  t.match(check(['-'], PUT + more), {
    status: 1,
    stdout: /NOT LINEARIZABLE: 1 key\n[^]*> client replica 3 in the end {2}get "k" -> "2"/,
  });
  t.end();
});

test('no time to decide: exit 5', (t) => {
  const { status, stdout } = check([path.join(data, 'kv_c10-ok.edn'), '--time-limit', '0.000001']);
  t.equal(status, 5);
  t.match(stdout, /UNDECIDED within the limit/);
  t.end();
});

test('a malformed file: exit 4 with the line; bad usage: exit 2', (t) => {
  t.match(check(['-'], `${PUT}\nnonsense\n`), {
    status: 4,
    stdout: '',
    stderr: /HISTORY_MALFORMED: stdin: line 3: not JSON/,
  });
  const raw = Buffer.from(PUT.replace('"k"', '"k?"'));
  raw[raw.indexOf('?')] = 0xff;
  t.match(check(['-'], Buffer.concat([Buffer.from(PUT), raw])), {
    status: 4,
    stderr: /HISTORY_MALFORMED: stdin: line 2: not UTF-8/,
  });
  t.match(check(['-', '--format', 'edn'], PUT), { status: 4, stderr: /line 1/ });
  t.match(check(['-'], ''), { status: 4, stderr: /no operation/ });
  t.match(check(['no-such-file']), { status: 2, stderr: /cannot read no-such-file/ });
  t.match(check(['-', '--time-limit', '0'], PUT), { status: 2 });
  t.match(check(['-', '--format', 'xml'], PUT), { status: 2 });
  t.match(check(['-', '--report', '/no-such-directory/out.html'], PUT), {
    status: 2,
    stderr: /cannot write/,
  });
  t.match(check([]), { status: 2 });
  t.end();
});
