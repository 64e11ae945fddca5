/** `kvctl run`: does a script, once or often, alone or several at once, and tells of every operation and of the whole. */
import type { KvdClient } from '@kvd/client';
import type { Context } from '../context.js';
import { CliError, describeError, EXIT, type ExitCode, exitCodeOf } from '../errors.js';
import { Executor } from '../executor.js';
import { nameOf, readText } from '../input.js';
import type { ScriptOperation } from '../operations.js';
import { exitCodeOfSignal } from '../stop.js';
import { parseScript, ScriptError, type ScriptLine } from '../script.js';

const SCRIPT_BYTES_MAX = 64 * 1024 * 1024;

export interface RunArgs {
  readonly file: string;
  /** How often each worker does the whole script. */
  readonly repeat: number;
  /** Workers that do so at the same time. */
  readonly concurrency: number;
  readonly keepGoing: boolean;
}

export async function run(context: Context, args: RunArgs): Promise<ExitCode> {
  const script = await load(args.file);
  return context.withClient((client) => new ScriptRun(context, client, args, script).run());
}

async function load(file: string): Promise<ScriptLine[]> {
  const text = await readText(file, SCRIPT_BYTES_MAX);
  try {
    return parseScript(text);
  } catch (error) {
    if (error instanceof ScriptError)
      throw new CliError(EXIT.usage, 'KVCTL_SCRIPT', `${nameOf(file)}: ${error.message}`);
    throw error;
  }
}

class ScriptRun {
  private readonly stop = new AbortController();
  private exitCode: ExitCode = EXIT.done;
  private operations = 0;
  private failed = 0;
  private expectations = 0;

  constructor(
    private readonly context: Context,
    private readonly client: KvdClient,
    private readonly args: RunArgs,
    private readonly script: readonly ScriptLine[],
  ) {}

  async run(): Promise<ExitCode> {
    const startMs = performance.now();
    // Where nobody reads stdout any more kvctl ends (output.ts), and the rest of the script is not done.
    process.exitCode = EXIT.unknown;
    this.context.stop?.addEventListener('abort', () => this.stop.abort());
    if (this.context.stop?.aborted) this.stop.abort();
    await Promise.all(Array.from({ length: this.args.concurrency }, (_, index) => this.work(index + 1)));
    const ms = round(performance.now() - startMs);
    const { operations, failed, expectations } = this;
    const perSecond = ms > 0 ? Math.round((operations / ms) * 1000) : 0;
    const text = `${operations} operations, ${failed} failed, ${expectations} expectations, ${ms} ms`;
    await this.context.out.result({ summary: { operations, failed, expectations, ms, perSecond } }, text);
    if (this.context.stop?.aborted !== true) return this.exitCode;
    this.context.out.note('kvctl: interrupted');
    return exitCodeOfSignal('SIGINT');
  }

  private async work(worker: number): Promise<void> {
    const { timeoutMs, note } = this.context;
    const executor = new Executor(this.client, { signal: this.stop.signal, timeoutMs, note });
    if (this.script.some(({ operation }) => operation.op === 'WATCH')) await executor.begin();
    for (let round = 1; round <= this.args.repeat; round++) {
      for (const line of this.script) {
        if (this.stop.signal.aborted) return;
        await this.step(executor, line, worker, round);
      }
    }
  }

  private async step(executor: Executor, line: ScriptLine, worker: number, round: number): Promise<void> {
    const startMs = performance.now();
    const many = this.args.concurrency > 1 || this.args.repeat > 1;
    const where = { line: line.line, ...(many ? { worker, round } : {}) };
    if (line.operation.op === 'EXPECT') this.expectations++;
    else this.operations++;
    try {
      const { json, text, mismatch } = await executor.execute(line.operation);
      await this.tell({ ...where, ...json, ms: since(startMs) }, line, text);
      if (mismatch !== '') this.fail(EXIT.negative, `line ${line.line}: ${mismatch}`);
    } catch (error) {
      // Another worker's failure ended this one; it is told where it happened.
      if (this.stop.signal.aborted) return;
      const { code, message } = describeError(error);
      const json = { ...where, ...request(line.operation), error: code, ms: since(startMs) };
      await this.tell(json, line, code);
      this.fail(exitCodeOf(error), `line ${line.line}: ${code}: ${message}`);
    }
  }

  private async tell(json: Record<string, unknown>, line: ScriptLine, text: string): Promise<void> {
    await this.context.out.result(
      json,
      `${line.line}: ${describe(line.operation)}${text === '' ? '' : ` -> ${text}`}`,
    );
  }

  private fail(exitCode: ExitCode, message: string): void {
    this.failed++;
    if (this.exitCode === EXIT.done) this.exitCode = exitCode;
    this.context.out.note(`kvctl: ${message}`);
    if (!this.args.keepGoing) this.stop.abort();
  }
}

/** The fields that say what was asked for, where there is no result. */
function request(operation: ScriptOperation): Record<string, unknown> {
  if ('key' in operation) return { op: operation.op, key: operation.key };
  if ('prefix' in operation) return { op: operation.op, prefix: operation.prefix };
  return { op: operation.op };
}

function describe(operation: ScriptOperation): string {
  switch (operation.op) {
    case 'PUT':
      return `PUT ${operation.key} ${operation.value}`;
    case 'SCAN':
      return `SCAN ${operation.prefix}`.trimEnd();
    case 'CAS':
      return `CAS ${operation.key} ${operation.old ?? 'NONE'} ${operation.value}`;
    case 'ADD':
      return `ADD ${operation.key} ${operation.delta}`;
    case 'TXN':
      return 'TXN';
    case 'WATCH':
      return `WATCH ${operation.prefix} ${operation.count}`;
    case 'SLEEP':
      return `SLEEP ${operation.ms}`;
    case 'EXPECT':
      return `EXPECT ${operation.value ?? 'NONE'}`;
    case 'GET':
    case 'DELETE':
      return `${operation.op} ${operation.key}`;
  }
}

function since(startMs: number): number {
  return round(performance.now() - startMs);
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
