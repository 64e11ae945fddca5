import { join } from 'node:path';
import { test } from 'tap';
import { connectionsFor, openFilesMax } from '../src/open-files.js';

test('connections leave the stores the files that they need', (t) => {
  t.equal(connectionsFor(Number.POSITIVE_INFINITY), 8_192);
  t.equal(connectionsFor(1_048_576), 8_192);
  t.equal(connectionsFor(4_096), 4_096 - 2_048);
  t.equal(connectionsFor(1_024), 512);
  t.equal(connectionsFor(301), 150);
  t.end();
});

test('the limit is what the system says', (t) => {
  const limits = 'Limit                     Soft Limit           Hard Limit           Units\n';
  const directory = t.testdir({
    some: `${limits}Max open files            1024                 524288               files\n`,
    none: `${limits}Max open files            unlimited            unlimited            files\n`,
  });
  t.equal(openFilesMax(join(directory, 'some')), 1_024);
  t.equal(openFilesMax(join(directory, 'none')), Number.POSITIVE_INFINITY);
  t.equal(openFilesMax(join(directory, 'absent')), Number.POSITIVE_INFINITY);
  t.end();
});
