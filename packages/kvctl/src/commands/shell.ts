/**
 * `kvctl shell`: the operations of scripts, and every other command of kvctl, one at a time as they are typed, with
 * history, completion and help. Without a terminal it reads its lines from stdin, shows no prompt, and ends with the
 * first failure's code.
 */
import { type KvdClient, KvdError } from '@kvd/client';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { printable } from '../bytes.js';
import { Context, type GlobalArgs } from '../context.js';
import { makeDirectory } from '../directory.js';
import { describeError, EXIT, type ExitCode, exitCodeOf, usage } from '../errors.js';
import { Executor } from '../executor.js';
import { OPERATIONS, OperationError, parseLine } from '../operations.js';
import { historyFile } from '../paths.js';
import { splitWords, WordsError } from '../words.js';
import { status } from './status.js';

const HISTORY_LINES_MAX = 1_000;
const COMPLETIONS_MAX = 50;
/** Names of operations, in capitals as in scripts, then of commands. */
const OPERATION_NAMES = OPERATIONS.map(({ usage }) => usage.split(' ')[0] ?? '').concat('DEL');
const OWN_NAMES = ['COUNT', 'STATUS', 'HELP', 'EXIT', 'QUIT'];
const COMMAND_NAMES = ['lease', 'lock', 'elect', 'log', 'blame', 'outcome', 'compact', 'load', 'dump', 'run'];
const LEASE_NAMES = ['grant', 'revoke', 'keep-alive', 'show', 'list'];
/** The word after these is a key, or the beginning of some. */
const WITH_KEY = [
  'GET',
  'PUT',
  'DEL',
  'DELETE',
  'SCAN',
  'COUNT',
  'CAS',
  'ADD',
  'WATCH',
  'LOG',
  'BLAME',
  'DUMP',
];
/** What only makes sense outside of a shell. */
const NOT_HERE = ['shell', 'completion'];
const OWN_COMMANDS = [
  { usage: 'COUNT [prefix]', about: 'how many keys begin with prefix' },
  { usage: 'STATUS', about: 'the replicas' },
  { usage: 'HELP', about: 'this' },
  { usage: 'lease, log, …', about: 'any other command of kvctl, with its options: kvctl --help lists them' },
  { usage: 'EXIT', about: 'leave (also QUIT, Ctrl-D)' },
];

/** Does a command of kvctl, given as its words. */
export type RunCommand = (
  words: readonly string[],
  contextOf: (args: GlobalArgs) => Context,
) => Promise<ExitCode>;

export async function shell(context: Context, runCommand: RunCommand): Promise<ExitCode> {
  return context.withClient((client) => new Shell(context, client, runCommand).run());
}

class Shell {
  private readonly terminal = process.stdin.isTTY === true;
  private readonly executor: Executor;
  private isBegun = false;
  /** Of the line that is being done; null: it is waited for one. */
  private running: AbortController | null = null;
  private exitCode: ExitCode = EXIT.done;

  constructor(
    private readonly context: Context,
    private readonly client: KvdClient,
    private readonly runCommand: RunCommand,
  ) {
    const { timeoutMs, note } = context;
    this.executor = new Executor(client, { timeoutMs, note });
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
      // A Ctrl-C right behind a line is meant for it, though it is not begun yet.
      lines.on('line', () => (this.running ??= new AbortController()));
      // Without a listener Ctrl-C would end the shell in the middle of a line.
      lines.on('SIGINT', () => {
        if (this.running === null) this.clearLine(lines);
        else this.running.abort();
      });
    }
    await this.readAll(lines);
    return this.terminal ? EXIT.done : this.exitCode;
  }

  /** Lines one after the other: each waits for the answer to the one before. */
  private async readAll(lines: Interface): Promise<void> {
    lines.prompt();
    try {
      for await (const line of lines) {
        this.running ??= new AbortController();
        const leaves = await this.execute(line, this.running.signal);
        this.running = null;
        if (leaves) return;
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

  /** Gives up when `signal` fires. True: leave. */
  private async execute(line: string, signal: AbortSignal): Promise<boolean> {
    try {
      if (isOperation(line)) {
        await this.operation(line, signal);
        return false;
      }
      const words = splitWords(line);
      switch (words[0]?.toUpperCase()) {
        case undefined:
          break;
        case 'EXIT':
        case 'QUIT':
          return true;
        case 'HELP':
          await this.help();
          break;
        case 'STATUS':
          this.note(await status(this.context, signal));
          break;
        case 'COUNT':
          await this.count(words[1] ?? '', signal);
          break;
        default:
          this.note(await this.command(words, signal));
      }
    } catch (error) {
      // What a mutation may have done it says; of all else nothing more is to be said.
      if (signal.aborted && !(error instanceof KvdError && error.outcome === 'unknown')) {
        this.context.out.note('kvctl: interrupted');
        return false;
      }
      const bad = error instanceof OperationError || error instanceof WordsError;
      this.note(exitCodeOf(bad ? usage('') : error));
      this.context.out.error(bad ? usage(`${error.message} (HELP lists the commands)`) : error);
    }
    return false;
  }

  private async operation(line: string, signal: AbortSignal): Promise<void> {
    const operation = parseLine(line);
    if (operation === null) return;
    const startMs = performance.now();
    if (!this.isBegun) await this.executor.begin(signal);
    this.isBegun = true;
    const { json, text, mismatch } = await this.executor.execute(operation, signal);
    const ms = Math.round((performance.now() - startMs) * 10) / 10;
    await this.context.out.result({ ...json, ms }, text === '' ? undefined : text);
    if (mismatch !== '') this.note(EXIT.negative);
  }

  /** As typed after kvctl, with the shell's own options before it; Ctrl-C ends it and not the shell. */
  private async command(words: readonly string[], stop: AbortSignal): Promise<ExitCode> {
    const [name = '', ...rest] = words;
    const command = name.toLowerCase();
    if (NOT_HERE.includes(command)) throw usage(`there is no ${command} in a shell`);
    if (words.includes('-')) throw usage("stdin is the shell's own: name a file");
    const onInterrupt = (): void => this.running?.abort();
    const parts = { client: this.client, clientKey: this.context.clientKey, stop };
    process.on('SIGINT', onInterrupt);
    // Ctrl-C must be a signal, and what is typed belongs to the program that is run.
    if (this.terminal) process.stdin.setRawMode(false);
    try {
      const all = [...globalWords(this.context.args), command, ...rest];
      return await this.runCommand(all, (args) => new Context(args, parts));
    } finally {
      if (this.terminal) process.stdin.setRawMode(true);
      process.off('SIGINT', onInterrupt);
    }
  }

  private async count(prefix: string, signal: AbortSignal): Promise<void> {
    const count = await this.client.count({ prefix, signal });
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
    if (parts.length === 1) return [namesLike(typed), typed];
    const first = parts[0]?.toUpperCase() ?? '';
    if (parts.length === 2 && first === 'LEASE')
      return [LEASE_NAMES.filter((name) => name.startsWith(typed)), typed];
    if (parts.length > 2 || !WITH_KEY.includes(first)) return [[], typed];
    const keys: string[] = [];
    const options = { prefix: typed, limit: COMPLETIONS_MAX, keysOnly: true, consistency: 'stale' } as const;
    for await (const entry of this.client.scan(options)) {
      const key = printable(entry.keyBytes);
      // Others would have to be quoted, and readline goes on from what was typed.
      if (PLAIN_WORD.test(key)) keys.push(key);
    }
    return [keys, typed];
  }
}

const PLAIN_WORD = /^[^\s'"\\#][^\s'"\\]*$/;

/** In the case in which they are being typed. */
function namesLike(typed: string): string[] {
  const names = [...OPERATION_NAMES, ...OWN_NAMES, ...COMMAND_NAMES];
  const isLower = typed !== '' && typed === typed.toLowerCase();
  return names
    .filter((name) => name.toUpperCase().startsWith(typed.toUpperCase()))
    .map((name) => (isLower ? name.toLowerCase() : name));
}

/** A line of a script. With an option it is the command of that name, and `txn` with anything but JSON, too. */
function isOperation(line: string): boolean {
  const [, name = '', rest = ''] = /^\s*(\S+)\s*(.*)$/s.exec(line) ?? [];
  if (name.startsWith('#')) return true;
  if (name.toUpperCase() === 'TXN') return /^['"]?\{/.test(rest);
  return OPERATION_NAMES.includes(name.toUpperCase()) && !/(^|\s)(--[a-z][a-z-]*|-[oeh])(\s|=|$)/.test(rest);
}

function globalWords(args: GlobalArgs): string[] {
  const { endpoints, output, timeout, consistency, principal, reason, hex, base64 } = args;
  const given = { endpoints, output, timeout, consistency, principal, reason };
  const words = Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
  return [...words, ...(hex ? ['--hex'] : []), ...(base64 ? ['--base64'] : [])];
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
    makeDirectory(path.dirname(file));
    writeFileSync(file, `${history.slice(0, HISTORY_LINES_MAX).reverse().join('\n')}\n`, { mode: 0o600 });
    chmodSync(file, 0o600);
  } catch (error) {
    process.emitWarning(`the history cannot be saved: ${describeError(error).message}`);
  }
}
