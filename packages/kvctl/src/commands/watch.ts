/** watch: what happens to keys, a line per event, or a program run for each. Goes on until it is stopped. */
import type { WatchEvent } from '@kvd/client';
import { isUtf8 } from 'node:buffer';
import { parseBytes, parseKey } from '../bytes.js';
import type { Context } from '../context.js';
import { eventFields, eventText } from '../entries.js';
import { EXIT, type ExitCode, unavailable, usage } from '../errors.js';
import { runProgram } from '../program.js';
import { Stop } from '../stop.js';

/** What fits the environment of a process with certainty, and is worth having there. */
const ENV_VALUE_BYTES_MAX = 64 * 1024;

export interface WatchArgs {
  readonly key?: string | undefined;
  readonly prefix?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly fromRevision?: number | undefined;
  readonly previous: boolean;
  /** End after so many events. */
  readonly limit?: number | undefined;
  readonly keepGoing: boolean;
  /** What to run for each event; empty: events are printed. */
  readonly program: readonly string[];
}

export async function watch(context: Context, args: WatchArgs): Promise<ExitCode> {
  const range = rangeOf(context, args);
  const { fromRevision, previous } = args;
  const stop = new Stop(context.stop);
  try {
    return await context.withClient(async (client) => {
      const events = client.watch({
        ...range,
        ...(fromRevision === undefined ? {} : { fromRevision }),
        previous,
        signal: stop.signal,
      });
      const after = await within(events.started, context.timeoutMs);
      context.out.note(`kvctl: watching from revision ${after + 1} on`);
      return tell(context, args, events, stop);
    });
  } catch (error) {
    if (stop.by !== null) return stop.exitCode;
    throw error;
  } finally {
    stop.end();
  }
}

async function tell(
  context: Context,
  args: WatchArgs,
  events: AsyncIterable<WatchEvent>,
  stop: Stop,
): Promise<ExitCode> {
  let left = args.limit ?? Number.POSITIVE_INFINITY;
  let exitCode: ExitCode = EXIT.done;
  for await (const event of events) {
    if (args.program.length === 0) {
      await context.out.result(eventFields(event), `${event.modRevision}\t${eventText(event)}`);
    } else {
      const env = environmentOf(event);
      const input = `${JSON.stringify(eventFields(event))}\n`;
      const ended = await runProgram({ words: args.program, env, input, stop, out: context.out });
      if (ended !== 0) {
        if (exitCode === EXIT.done) exitCode = ended;
        context.out.note(`kvctl: ${args.program[0]} ended with ${ended} at revision ${event.modRevision}`);
        if (!args.keepGoing) return stop.by === null ? exitCode : stop.exitCode;
      }
    }
    left -= 1;
    if (left <= 0) return exitCode;
  }
  return stop.by === null ? exitCode : stop.exitCode;
}

function rangeOf(context: Context, { key, prefix, from, to }: WatchArgs) {
  const bytes = (text: string) => parseBytes(text, context.encoding);
  if (key !== undefined) {
    if (prefix !== undefined || from !== undefined || to !== undefined)
      throw usage('watch takes KEY, or --prefix, --from and --to');
    return { key: parseKey(key, context.encoding) };
  }
  return {
    // Of nothing in particular: of all keys.
    prefix: bytes(prefix ?? ''),
    ...(from === undefined ? {} : { from: bytes(from) }),
    ...(to === undefined ? {} : { to: bytes(to) }),
  };
}

/** What a process may have in its environment; the JSON on its stdin has all of it, always. */
function environmentOf(event: WatchEvent): Record<string, string> {
  return {
    KVD_EVENT_TYPE: event.type,
    KVD_EVENT_REVISION: String(event.modRevision),
    ...variable('KVD_EVENT_KEY', event.key),
    ...(event.value === undefined ? {} : variable('KVD_EVENT_VALUE', event.value)),
  };
}

function variable(name: string, bytes: Uint8Array): Record<string, string> {
  if (bytes.length > ENV_VALUE_BYTES_MAX) return {};
  if (isUtf8(bytes) && !bytes.includes(0)) return { [name]: Buffer.from(bytes).toString('utf8') };
  return { [`${name}_BASE64`]: Buffer.from(bytes).toString('base64') };
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable(`no replica took the watch within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
