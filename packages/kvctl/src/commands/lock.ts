/**
 * lock and elect: held while a program runs, or until stdin closes. What the program writes with kvctl is not fenced by
 * itself: it has the token, and a transaction that compares it with the createRevision of the holder's key is.
 */
import type { KvdClient } from '@kvd/client';
import { bytesField } from '@kvd/protocol';
import type { Context } from '../context.js';
import { describeError, EXIT, type ExitCode, usage } from '../errors.js';
import { runProgram } from '../program.js';
import { anyAborted, Stop } from '../stop.js';
import { printable } from '../bytes.js';

/** What is held, a lock or an office. */
interface Held {
  readonly what: string;
  readonly token: number;
  /** Fires when it is lost. */
  readonly signal: AbortSignal;
  readonly fields: Readonly<Record<string, unknown>>;
  /** For the program. */
  readonly env: Readonly<Record<string, string>>;
  giveBack(): Promise<void>;
}

export interface LockArgs {
  readonly name: string;
  readonly ttlMs: number;
  /** Do not wait for whoever has it. */
  readonly tryOnce: boolean;
  readonly program: readonly string[];
}

export interface ElectArgs {
  readonly name: string;
  readonly value?: string | undefined;
  readonly ttlMs: number;
  readonly observe: boolean;
  readonly program: readonly string[];
}

export async function lock(context: Context, args: LockArgs): Promise<ExitCode> {
  const { name, ttlMs, tryOnce } = args;
  return holding(context, args.program, async (client, stop) => {
    const held = await client.lock.acquire(name, {
      ttlMs,
      tryOnce,
      ...waiting(context),
      signal: stop.signal,
      value: context.principal,
    });
    return {
      what: `lock ${name}`,
      token: held.token,
      signal: held.signal,
      fields: { lock: name, token: held.token, key: held.key },
      env: { KVD_LOCK_NAME: name, ...environmentOf(held) },
      giveBack: () => held.release(),
    };
  });
}

export async function elect(context: Context, args: ElectArgs): Promise<ExitCode> {
  const { name, value, ttlMs, observe, program } = args;
  if (value === undefined) {
    if (program.length > 0) throw usage('elect needs a VALUE to stand for election with');
    return observe ? observeLeaders(context, name) : showLeader(context, name);
  }
  if (observe) throw usage('--observe goes with no VALUE');
  return holding(context, program, async (client, stop) => {
    const office = await client
      .election(name)
      .campaign(value, { ttlMs, ...waiting(context), signal: stop.signal });
    return {
      what: `election ${name}`,
      token: office.token,
      signal: office.signal,
      fields: { election: name, value, token: office.token, key: office.key },
      env: { KVD_ELECTION_NAME: name, ...environmentOf(office) },
      giveBack: () => office.resign(),
    };
  });
}

/** What a write must compare to be refused once this is lost: key's createRevision with the token. */
function environmentOf({
  token,
  key,
}: {
  readonly token: number;
  readonly key: string;
}): Record<string, string> {
  return { KVD_LOCK_TOKEN: String(token), KVD_LOCK_KEY: key };
}

/** However long it takes, unless --timeout says otherwise. */
function waiting(context: Context): { timeoutMs?: number } {
  return context.isTimeoutGiven ? { timeoutMs: context.timeoutMs } : {};
}

async function holding(
  context: Context,
  program: readonly string[],
  acquire: (client: KvdClient, stop: Stop) => Promise<Held>,
): Promise<ExitCode> {
  if (program.length === 0 && context.isShell) throw usage('in the shell this needs -- and a program to run');
  const stop = new Stop(context.stop);
  try {
    return await context.withClient(async (client) => {
      const held = await acquire(client, stop);
      try {
        return await hold(context, held, program, stop);
      } finally {
        await giveBack(context, held);
      }
    });
  } catch (error) {
    if (stop.by !== null) return stop.exitCode;
    throw error;
  } finally {
    stop.end();
  }
}

async function hold(context: Context, held: Held, program: readonly string[], stop: Stop): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  if (program.length > 0) {
    const { env, signal: kill } = held;
    // A shell reads its own lines from stdin.
    const input = context.isShell ? { input: '' } : {};
    exitCode = await runProgram({ words: program, env, kill, stop, out: context.out, ...input });
  } else {
    await context.out.result(held.fields, `token ${held.token}`);
    await untilClosed(held.signal, stop);
    if (stop.by !== null) exitCode = stop.exitCode;
  }
  // Who ran under it must hear that it was not alone, whatever the program made of that.
  if (held.signal.aborted) throw held.signal.reason;
  return exitCode;
}

/** A lease that cannot be revoked ends by itself: nobody else is locked out for longer than that. */
async function giveBack(context: Context, held: Held): Promise<void> {
  if (held.signal.aborted) return;
  try {
    await held.giveBack();
  } catch (error) {
    context.out.note(
      `kvctl: ${held.what} ends with its lease, it was not given back: ${describeError(error).message}`,
    );
  }
}

async function untilClosed(lost: AbortSignal, stop: Stop): Promise<void> {
  const { stdin } = process;
  const ended = new Promise<void>((resolve) => {
    stdin
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve());
  });
  stdin.resume();
  await Promise.race([ended, anyAborted(lost, stop.signal)]);
  // An open stdin would keep the process alive.
  stdin.pause();
  stdin.unref?.();
}

async function showLeader(context: Context, name: string): Promise<ExitCode> {
  return context.withClient(async (client) => {
    const leader = await client.election(name).leader();
    if (leader === undefined) {
      context.out.negative('KVD_NOT_FOUND', `nobody is elected in ${name}`);
      return EXIT.negative;
    }
    await tellLeader(context, name, leader);
    return EXIT.done;
  });
}

async function observeLeaders(context: Context, name: string): Promise<ExitCode> {
  const stop = new Stop(context.stop);
  try {
    return await context.withClient(async (client) => {
      for await (const leader of client.election(name).observe({ signal: stop.signal })) {
        if (leader !== undefined) await tellLeader(context, name, leader);
      }
      return stop.exitCode;
    });
  } catch (error) {
    if (stop.by !== null) return stop.exitCode;
    throw error;
  } finally {
    stop.end();
  }
}

async function tellLeader(
  context: Context,
  name: string,
  { value, token }: { readonly value: Uint8Array; readonly token: number },
): Promise<void> {
  await context.out.result({ election: name, ...bytesField('value', value), token }, printable(value));
}
