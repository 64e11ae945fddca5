/** The measurement that docs/BENCHMARKS.md names still measures: nothing else calls what it calls in this way. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'tap';

const BENCH = fileURLToPath(new URL('../bench/put-stages.mjs', import.meta.url));

test('what a put costs one replica, stage by stage', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, '--puts', '640', '--keys', '640']);
  const lines = stdout.trim().split('\n');
  t.equal(lines.length, 5);
  t.match(lines[1], /^write of the log +\d+\.\d+ us CPU a put/);
});
