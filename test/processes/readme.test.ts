/**
 * Types what README.md says, word for word, in a copy of this repository, so that the cluster it starts is nobody
 * else's: only the ports differ, the number of the leader to kill, which the README leaves to the reader, and how long
 * kvctl is patient, for a busy machine.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'tap';
import { root } from '../support/cluster.js';

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const REPLICAS = 5;
const START_MS = 120_000;

/** Commands of the README that are not typed here, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'npm start': 'runs throughout this test',
  'npm test': 'is what runs this test',
  'docker compose up --build --detach': 'needs a container engine',
  'docker compose run --rm client kvctl status': 'needs a container engine',
  'docker compose down --volumes': 'needs a container engine',
};

/** What some of them must show. */
const SHOWN: Readonly<Record<string, RegExp>> = {
  'bin/kvctl get greeting': /^(hello|still here)\n$/,
  'bin/kvctl scan trial/KVD-101/site/02/patient/0017/': /patient\/0017\/visit/,
  'bin/kvctl scan trial/ --count': /^\d{3}\n$/,
  'bin/kvctl run data/scripts/tour.kvd': /, 0 failed/,
  'bin/kvctl drill run crash-leader': /crash-leader: PASSED/,
  'bin/kvctl status': /follower[\s\S]*follower[\s\S]*/,
  'curl http://127.0.0.1:15002/v1/kv/greeting': /^hello again$/,
  'curl http://127.0.0.1:15000/v1/status': /"stateHash":/,
};

test('the README works as it is written', { timeout: 240_000 }, async (t) => {
  const base = await freeRange(REPLICAS);
  const directory = copyRepository();
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const translate = (text: string): string =>
    text.replace(/\b1500([0-4])\b/g, (_, n) => String(base + Number(n)));
  const env: NodeJS.ProcessEnv = { ...process.env, KVCTL_ENDPOINTS: `127.0.0.1:${base}` };
  const cluster = new Start(directory, base);
  t.teardown(() => cluster.stop());
  await cluster.ready();

  let leader = 0;
  for (const command of blocks('sh').flatMap((block) => block.trim().split('\n'))) {
    if (command in ELSEWHERE) continue;
    const [, name, value] = /^export (\w+)=(\S+)$/.exec(command) ?? [];
    if (name !== undefined && value !== undefined) {
      env[name] = translate(value);
      continue;
    }
    if (command.startsWith('bin/kvctl cluster kill ')) leader = await leaderAt(base);
    const numbered = command.replace(/^(bin\/kvctl cluster \w+) 1$/, `$1 ${leader}`);
    const typed = translate(numbered.replace(/^bin\/kvctl /, '$&--timeout 60000 '));
    const { code, output } = await run('sh', ['-c', typed], directory, env);
    t.equal(code, 0, code === 0 ? typed : `${typed}\n${output}`);
    const shown = SHOWN[command];
    if (shown !== undefined) t.match(output, shown, `what ${command} shows`);
  }
  t.ok(leader > 0, 'a leader was killed');

  const [example = ''] = blocks('ts');
  writeFileSync(path.join(directory, 'example.mjs'), translate(example));
  const { code, output } = await run(process.execPath, ['example.mjs'], directory, env);
  t.equal(code, 0, 'the TypeScript example');
  t.match(output, /^1 true\ntrial\//, 'what the TypeScript example prints');

  t.equal(await cluster.stop(), 0, 'npm start ends cleanly');
});

test('what is not typed here is still in the README', async (t) => {
  const commands = blocks('sh').join('\n').split('\n');
  for (const command of [...Object.keys(ELSEWHERE), ...Object.keys(SHOWN)])
    t.ok(commands.includes(command), command);
});

/** `npm start`, of the copy. */
class Start {
  private readonly child: ChildProcess;
  private readonly exit: Promise<number | null>;
  private output = '';

  constructor(directory: string, port: number) {
    const command = ['start', '--', '--port', String(port)];
    const env = { ...process.env, PATH: `${path.join(directory, 'no-install')}:${process.env.PATH}` };
    this.child = spawn('npm', command, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.exit = once(this.child, 'exit').then(([code]) => code);
  }

  /** Until the line that scripts wait for. */
  async ready(): Promise<void> {
    const deadline = setTimeout(() => this.child.kill('SIGTERM'), START_MS);
    const { stdout } = this.child;
    if (stdout === null) throw new Error('npm start has no stdout');
    for await (const line of createInterface({ input: stdout })) {
      this.output += `${line}\n`;
      if (!line.startsWith(`kvd cluster ready: ${REPLICAS} replicas, leader `)) continue;
      clearTimeout(deadline);
      stdout.resume();
      return;
    }
    clearTimeout(deadline);
    throw new Error(`npm start did not become ready:\n${this.output}`);
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.exit;
  }
}

/** The contents of the README's fenced blocks of a language. */
function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, text]) => text ?? '',
  );
}

/** Everything but what git ignores; what is installed and built comes along, so that nothing is done again. */
function copyRepository(): string {
  const copy = mkdtempSync(path.join(tmpdir(), 'kvd-readme-'));
  // cp keeps the times of files exactly, by which the set-up tells what is built.
  const files = [
    'packages',
    'scripts',
    'bin',
    'package.json',
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    '.setup',
  ];
  const configs = ['tsconfig.json', 'tsconfig.base.json', 'tsconfig.test.json'];
  execFileSync('cp', ['-Rp', ...files, ...configs, copy], { cwd: root });
  mkdirSync(path.join(copy, 'data'));
  execFileSync('cp', ['-Rp', 'sample.jsonl', 'scripts', path.join(copy, 'data')], {
    cwd: path.join(root, 'data'),
  });
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
  // What is installed is shared: were it out of date, the copy must not install over it.
  mkdirSync(path.join(copy, 'no-install'));
  const refusal = '#!/bin/sh\necho "not installed, or out of date: npm run setup" >&2\nexit 1\n';
  writeFileSync(path.join(copy, 'no-install', 'npx'), refusal, { mode: 0o755 });
  return copy;
}

async function leaderAt(port: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/status`);
  const status: unknown = await response.json();
  if (typeof status === 'object' && status !== null && 'leader' in status) return Number(status.leader);
  throw new Error(`no leader in ${JSON.stringify(status)}`);
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = await once(child, 'close');
  return { code, output: code === 0 ? output : `${output}${errors}` };
}

/** The first of `count` ports in a row that are free. */
async function freeRange(count: number): Promise<number> {
  for (let base = 21_000 + (process.pid % 500) * 10; base < 60_000; base += count) {
    const taken = await Promise.all(Array.from({ length: count }, (_, index) => isTaken(base + index)));
    if (!taken.includes(true)) return base;
  }
  throw new Error(`no ${count} free ports in a row`);
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(true));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}
