/** What the log does when its reader is slow, its disk is full, or nobody is there: a real pipe, a real full device. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { LogSink } from '../src/log-sink.js';

const LINE = `{"event":"x","text":"${'.'.repeat(1_000)}"}\n`;

/** A pipe that does not block, as Node.js makes a process's stderr. */
function pipe(t: Test): { readonly fd: number; readonly read: () => string } {
  const file = join(t.testdir({}), 'fifo');
  execFileSync('mkfifo', [file]);
  const fd = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  const buffer = Buffer.alloc(1 << 20);
  const read = (): string => {
    try {
      return buffer.toString('utf8', 0, readSync(fd, buffer));
    } catch {
      return '';
    }
  };
  return { fd, read };
}

function line(number: number): string {
  return `${String(number).padStart(6, '0')} ${LINE}`;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a reader that is slow gets every line, in order', async (t) => {
  const { fd, read } = pipe(t);
  const sink = new LogSink(fd, (dropped) => t.fail(`dropped ${dropped}`));
  for (let i = 0; i < 1_000; i++) sink.write(line(i));
  const expected = Array.from({ length: 1_000 }, (_, i) => line(i)).join('');
  let got = '';
  while (got.length < expected.length) {
    got += read();
    await turn();
  }
  t.ok(got === expected);
});

test('beyond what may wait lines are dropped, whole ones, and that is said when there is room', async (t) => {
  const { fd, read } = pipe(t);
  const said: number[] = [];
  const sink = new LogSink(fd, (dropped) => {
    said.push(dropped);
    sink.write(`dropped ${dropped}\n`);
  });
  const count = 12_000;
  for (let i = 0; i < count; i++) {
    sink.write(line(i));
    if (i % 100 === 0) await turn();
  }
  const sum = (): number => said.reduce((a, b) => a + b, 0);
  const lines: string[] = [];
  let rest = '';
  // How often there is room meanwhile is chance. The last that is said comes last.
  while (
    sum() === 0 ||
    lines.at(-1) !== `dropped ${said.at(-1)}` ||
    lines.length < count - sum() + said.length
  ) {
    const parts = (rest + read()).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    await turn();
  }
  t.ok(sum() > 1_000, `${sum()} dropped`);
  t.equal(lines.length, count - sum() + said.length, 'every line is there, or counted');
  t.ok(
    lines.every((text) => /^(\d{6} \{.*\}|dropped \d+)$/.test(text)),
    'whole',
  );
});

test('the end of the process waits half a second for a reader that takes nothing, not for ever', async (t) => {
  const { fd, read } = pipe(t);
  const sink = new LogSink(fd, () => undefined);
  for (let i = 0; i < 500; i++) sink.write(line(i));
  const beganMs = performance.now();
  sink.flush();
  t.ok(performance.now() - beganMs < 5_000);
  while (read() !== '') await turn();
  sink.write('the last\n');
  sink.flush();
  await turn();
  t.match(read(), /the last\n$/, 'where there is room all is written');
});

test('a full disk costs lines, and nothing else', async (t) => {
  const fd = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(fd));
  const sink = new LogSink(fd, (dropped) => t.fail(`room for more, after ${dropped}`));
  for (let i = 0; i < 300; i++) {
    sink.write(line(i));
    await turn();
  }
  sink.write('and the end\n');
  sink.flush();
  t.pass('it came back');
});
