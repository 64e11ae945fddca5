// npm test: sets up, runs tap, prints a line per test file and at last `N passed, M failed`.
//
// A test is what a test file declares at its top level. A file that fails without a failed test (it crashed,
// timed out, declared none) counts as one failed test. Arguments go to tap: names of test files, or options.
import path from 'node:path';
import { root, run } from './run.mjs';
import { setup, SetupError } from './setup.mjs';

const slowMs = 2_000;
const totals = { passed: 0, failed: 0, skipped: 0 };

try {
  await setup();
  await runTap(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof SetupError ? `setup: ${error.message}` : error);
  totals.failed++;
}
if (process.env.KVD_LINT_FAILED === '1') {
  print('FAIL  lint, see above');
  totals.failed++;
}
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
print(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = totals.failed > 0 ? 1 : 0;

async function runTap(args) {
  const { Parser } = await import('tap-parser');
  const parser = new Parser();
  let file;
  parser.on('child', (child) => {
    file = { name: child.name, passed: 0, failed: 0, skipped: 0, reports: [] };
    watchTests(child, file);
  });
  parser.on('assert', (result) => {
    const ended =
      file?.name === result.name
        ? file
        : { name: result.name, passed: 0, failed: 0, skipped: 0, reports: [] };
    file = undefined;
    endFile(ended, result);
  });
  parser.on('bailout', (reason) => {
    print(`FAIL  bail out: ${reason}`);
    totals.failed++;
  });
  parser.on('extra', (text) => process.stdout.write(text));

  const tap = path.join(root, 'node_modules/tap/dist/esm/run.mjs');
  const { exitCode, interrupted } = await run(process.execPath, [tap, '--reporter=tap', ...args], {
    // tap goes by the terminal's width and colours otherwise, and by what an outer tap set.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^TAP(_|$)/.test(name))),
    stdio: ['ignore', 'pipe', 'inherit'],
    onSpawn: (child) => child.stdout.pipe(parser),
  });
  if (interrupted) {
    print('FAIL  interrupted');
    totals.failed++;
  } else if (totals.failed === 0 && exitCode !== 0) {
    print(`FAIL  tap ended with exit code ${exitCode}`);
    totals.failed++;
  } else if (totals.failed === 0 && totals.passed === 0) {
    print('FAIL  no test was run');
    totals.failed++;
  }
}

/** Counts the tests of one file as they end, and says which of them were slow. */
function watchTests(parser, file) {
  parser.on('assert', (result) => {
    if (result.skip || result.todo) {
      file.skipped++;
    } else if (result.ok) {
      file.passed++;
    } else {
      file.failed++;
    }
    if (result.time > slowMs) print(`      ${seconds(result.time)}  ${result.name}`);
  });
  parser.on('extra', (text) => file.reports.push(indent(text.trimEnd(), 6)));
  reportFailures(parser, file, []);
}

/** Keeps the innermost failures, each under the names of the tests it is in. */
function reportFailures(parser, file, names) {
  let reported = 0;
  parser.on('child', (child) => {
    const inner = reportFailures(child, file, [...names, child.name]);
    child.on('complete', () => {
      reported += inner();
    });
  });
  let before = 0;
  parser.on('assert', (result) => {
    const hasInner = reported > before;
    before = reported;
    if (result.ok || result.skip || result.todo || hasInner) return;
    reported = ++before;
    const title = [...names, result.name].filter((name, i, all) => name !== all[i - 1]).join(' > ');
    file.reports.push(`    x ${title}\n${describe(result.diag)}`);
  });
  return () => reported;
}

function describe(diag) {
  if (!diag) return '';
  const { at, diff, source, stack, ...rest } = diag;
  const where = at?.fileName ? `at ${at.fileName}:${at.lineNumber}:${at.columnNumber}` : '';
  const others = Object.entries(rest)
    .filter(
      ([name]) => !['args', 'command', 'cwd', 'externalID', 'jobId', 'stdio', 'typeName'].includes(name),
    )
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [where, ...others, diff, source, stack]
    .filter((part) => part)
    .map((part) => indent(part.trimEnd(), 8))
    .join('\n');
}

function endFile(file, result) {
  const hasNoTests = result.skip === 'no tests found';
  if (hasNoTests || (!result.ok && file.failed === 0)) {
    file.failed++;
    if (file.reports.length === 0)
      file.reports.push(`    x ${hasNoTests ? 'it has no tests' : 'it broke off'}`);
    if (!result.ok) file.reports.push(describe(result.diag));
  } else if (result.skip && file.skipped === 0) {
    file.skipped++;
  }
  totals.passed += file.passed;
  totals.failed += file.failed;
  totals.skipped += file.skipped;
  const counts = ['passed', 'failed', 'skipped']
    .filter((kind) => file[kind] > 0)
    .map((kind) => `${file[kind]} ${kind}`);
  print(
    `${file.failed > 0 ? 'FAIL' : 'ok  '}  ${file.name}  ${counts.join(', ')}  ${seconds(result.time ?? 0)}`,
  );
  if (file.failed > 0) for (const report of file.reports) print(report);
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

function indent(text, width) {
  return text.replace(/^/gm, ' '.repeat(width));
}

function print(line) {
  process.stdout.write(`${line}\n`);
}
