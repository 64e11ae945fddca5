// Makes a clone ready to run: installs dependencies with pnpm, builds packages/*/dist. Says nothing and takes
// a fraction of a second when both are done. All output goes to stderr, which leaves stdout to the caller.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';
import { root, run } from './run.mjs';

const stampFile = path.join(root, '.setup/stamp.json');
const toStderr = { stdio: ['ignore', 2, 2] };

export class SetupError extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Installs and builds what is not installed and built yet. Throws a SetupError when that fails. */
export async function setup() {
  if (isInstalled() && isBuilt()) return;
  await withLock(
    path.join(root, '.setup/lock'),
    async () => {
      if (!isInstalled()) await install();
      if (!isBuilt()) await build();
    },
    () => say('waiting for another set-up to end'),
  );
}

async function install() {
  say('installing dependencies');
  const inputs = installInputs();
  writeStamp({});
  await must('npx', [
    '--yes',
    'pnpm@12',
    'install',
    '--frozen-lockfile',
    '--config.confirmModulesPurge=false',
  ]);
  writeStamp({ install: inputs });
}

async function build() {
  say('building');
  const inputs = buildInputs();
  removeOrphans();
  const tsc = [path.join(root, 'node_modules/typescript/bin/tsc'), '-b'];
  await must(process.execPath, tsc);
  // tsc trusts its build info; outputs that somebody removed are only made again by force.
  if (missingOutputs().length > 0) await must(process.execPath, [...tsc, '--force']);
  writeStamp({ ...readStamp(), build: inputs, outputs: outputMarks() });
}

async function must(command, args) {
  const { exitCode, interrupted } = await run(command, args, toStderr);
  if (exitCode === 0 && !interrupted) return;
  throw new SetupError(
    `${path.basename(command)} ${args.join(' ')} ended with exit code ${exitCode}`,
    exitCode || 1,
  );
}

function isInstalled() {
  return (
    fs.existsSync(path.join(root, 'node_modules/.modules.yaml')) && readStamp().install === installInputs()
  );
}

function isBuilt() {
  const stamp = readStamp();
  return stamp.outputs === outputMarks() && missingOutputs().length === 0 && stamp.build === buildInputs();
}

function installInputs() {
  const files = [
    'package.json',
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    ...packages().map((p) => `${p}/package.json`),
  ];
  return hashOf(
    files.filter((file) => fs.existsSync(path.join(root, file))),
    `${process.platform} ${process.arch}`,
  );
}

function buildInputs() {
  const configs = ['tsconfig.base.json', 'tsconfig.json', ...packages().map((p) => `${p}/tsconfig.json`)];
  // A package.json says what an import of the package means.
  return hashOf(
    [...configs, ...packages().map((p) => `${p}/package.json`), ...sources()],
    readStamp().install,
  );
}

/** Build info files as tsc left them: anyone else who ran tsc since then changed them. */
function outputMarks() {
  return packages()
    .map((p) => fs.statSync(path.join(root, p, 'dist/.tsbuildinfo'), { throwIfNoEntry: false }))
    .map((stat) => (stat ? `${stat.mtimeMs}:${stat.size}` : 'none'))
    .join(' ');
}

function missingOutputs() {
  return sources()
    .filter((file) => !file.endsWith('.d.ts'))
    .map((file) => file.replace('/src/', '/dist/').replace(/ts$/, 'js'))
    .filter((file) => !fs.existsSync(path.join(root, file)));
}

/** Removes what was built from sources that are gone. */
function removeOrphans() {
  const expected = new Set(sources().map((file) => file.replace('/src/', '/dist/').replace(/\.ts$/, '')));
  for (const file of packages().flatMap((p) => filesUnder(`${p}/dist`))) {
    const stem = file.replace(/\.(js|d\.ts)(\.map)?$/, '');
    if (stem !== file && !expected.has(stem)) fs.rmSync(path.join(root, file));
  }
}

function packages() {
  return fs
    .readdirSync(path.join(root, 'packages'))
    .filter((name) => fs.existsSync(path.join(root, 'packages', name, 'tsconfig.json')))
    .sort()
    .map((name) => `packages/${name}`);
}

function sources() {
  return packages()
    .flatMap((p) => filesUnder(`${p}/src`))
    .filter((file) => file.endsWith('.ts'));
}

function filesUnder(directory) {
  const absolute = path.join(root, directory);
  if (!fs.existsSync(absolute)) return [];
  return fs
    .readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

function hashOf(files, extra) {
  const hash = createHash('sha256').update(String(extra));
  for (const file of files) hash.update(`\0${file}\0`).update(fs.readFileSync(path.join(root, file)));
  return hash.digest('hex');
}

function readStamp() {
  try {
    return JSON.parse(fs.readFileSync(stampFile, 'utf8'));
  } catch {
    return {};
  }
}

function writeStamp(stamp) {
  fs.mkdirSync(path.dirname(stampFile), { recursive: true });
  fs.writeFileSync(`${stampFile}.new`, JSON.stringify(stamp));
  fs.renameSync(`${stampFile}.new`, stampFile);
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

if (import.meta.url === pathToFileURL(fs.realpathSync(process.argv[1])).href) {
  try {
    await setup();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = error.exitCode;
  }
}
