/**
 * `kvctl shell`: the operations of scripts, one at a time as they are typed, with history, completion and help. Without
 * a terminal it reads its lines from stdin, shows no prompt, and ends with the first failure's code.
 */
import type { KvdClient } from '@kvd/client';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { printable } from '../bytes.js';
import type { Context } from '../context.js';
import { describeError, EXIT, type ExitCode, exitCodeOf, usage } from '../errors.js';
import { Executor, OPERATIONS, OperationError, parseOperation } from '../operations.js';
import { historyFile } from '../paths.js';
import { splitWords, WordsError } from '../words.js';
import { status } from './status.js';

const HISTORY_LINES_MAX = 1_000;
const COMPLETIONS_MAX = 50;
const NAMES = [
  'PUT',
  'GET',
  'DELETE',
  'DEL',
  'SCAN',
  'COUNT',
  'EXPECT',
  'SLEEP',
  'STATUS',
  'HELP',
  'EXIT',
  'QUIT',
];
const WITH_KEY = ['GET', 'PUT', 'DEL', 'DELETE', 'SCAN', 'COUNT'];
const OWN_COMMANDS = [
  { usage: 'COUNT [prefix]', about: 'how many keys begin with prefix' },
  { usage: 'STATUS', about: 'the replicas' },
  { usage: 'HELP', about: 'this' },
  { usage: 'EXIT', about: 'leave (also QUIT, Ctrl-D)' },
];

export async function shell(context: Context): Promise<ExitCode> {
  return context.withClient((client) => new Shell(context, client).run());
}

class Shell {
  private readonly terminal = process.stdin.isTTY === true;
  private readonly executor: Executor;
  private exitCode: ExitCode = EXIT.done;

  constructor(
    private readonly context: Context,
    private readonly client: KvdClient,
  ) {
    this.executor = new Executor(client);
  }

  async run(): Promise<ExitCode> {
    const lines = createInterface({
      input: process.stdin,
      ...(this.terminal ? { output: process.stdout } : {}),
      terminal: this.terminal,
      prompt: 'kvd> ',
      historySize: HISTORY_LINES_MAX,
      history: this.terminal ? readHistory() : [],
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        this.complete(line).then(
          (result) => done(null, result),
          () => done(null, [[], line]),
        );
      },
    });
    if (this.terminal) {
      lines.on('history', (history: string[]) => saveHistory(history));
      this.context.out.note('Connected. HELP lists the commands, EXIT leaves.');
      // Without a listener Ctrl-C would end the shell in the middle of a line.
      lines.on('SIGINT', () => this.clearLine(lines));
    }
    await this.readAll(lines);
    return this.terminal ? EXIT.done : this.exitCode;
  }

  /** Lines one after the other: each waits for the answer to the one before. */
  private async readAll(lines: Interface): Promise<void> {
    lines.prompt();
    try {
      for await (const line of lines) {
        if (await this.execute(line)) return;
        lines.prompt();
      }
      if (this.terminal) await this.context.out.write('\n');
    } finally {
      lines.close();
    }
  }

  private clearLine(lines: Interface): void {
    lines.write(null, { ctrl: true, name: 'e' });
    lines.write(null, { ctrl: true, name: 'u' });
    lines.prompt();
  }

  /** True: leave. */
  private async execute(line: string): Promise<boolean> {
    try {
      const words = splitWords(line);
      const name = words[0]?.toUpperCase() ?? '';
      if (name === '') return false;
      if (name === 'EXIT' || name === 'QUIT') return true;
      if (name === 'HELP') await this.help();
      else if (name === 'STATUS') this.note(await status(this.context));
      else if (name === 'COUNT') await this.count(words[1] ?? '');
      else await this.operation(words);
    } catch (error) {
      const bad = error instanceof OperationError || error instanceof WordsError;
      this.note(exitCodeOf(bad ? usage('') : error));
      this.context.out.error(bad ? usage(`${error.message} (HELP lists the commands)`) : error);
    }
    return false;
  }

  private async operation(words: readonly string[]): Promise<void> {
    const startMs = performance.now();
    const { json, text, mismatch } = await this.executor.execute(parseOperation(words));
    const ms = Math.round((performance.now() - startMs) * 10) / 10;
    await this.context.out.result({ ...json, ms }, text === '' ? undefined : text);
    if (mismatch !== '') this.note(EXIT.negative);
  }

  private async count(prefix: string): Promise<void> {
    const count = await this.client.count({ prefix });
    await this.context.out.result({ op: 'COUNT', prefix, count }, String(count));
  }

  private async help(): Promise<void> {
    const rows = [...OPERATIONS, ...OWN_COMMANDS].map((row) => `  ${row.usage.padEnd(18)}${row.about}`);
    await this.context.out.write(
      `${rows.join('\n')}\nWords are split as in a shell, with quotes. TAB completes.\n`,
    );
  }

  private note(exitCode: ExitCode): void {
    if (this.exitCode === EXIT.done) this.exitCode = exitCode;
  }

  /** Names of commands, then keys that the cluster has. */
  private async complete(line: string): Promise<[string[], string]> {
    const parts = line.split(/\s+/);
    const typed = parts.at(-1) ?? '';
    if (parts.length === 1) return [NAMES.filter((name) => name.startsWith(typed.toUpperCase())), typed];
    if (parts.length > 2 || !WITH_KEY.includes(parts[0]?.toUpperCase() ?? '')) return [[], typed];
    const keys: string[] = [];
    const options = { prefix: typed, limit: COMPLETIONS_MAX, keysOnly: true, consistency: 'stale' } as const;
    for await (const entry of this.client.scan(options)) keys.push(printable(entry.keyBytes));
    return [keys, typed];
  }
}

/** Newest first, as readline wants it. A history that cannot be read is an empty one. */
function readHistory(): string[] {
  try {
    return readFileSync(historyFile(), 'utf8').split('\n').filter(Boolean).reverse();
  } catch {
    return [];
  }
}

/** What is typed may be confidential: only its owner may read it. Losing it must not end the shell. */
function saveHistory(history: readonly string[]): void {
  const file = historyFile();
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, `${history.slice(0, HISTORY_LINES_MAX).reverse().join('\n')}\n`, { mode: 0o600 });
    chmodSync(file, 0o600);
  } catch (error) {
    process.emitWarning(`the history cannot be saved: ${describeError(error).message}`);
  }
}
