/** `kvctl check`: a verdict on a history from a file, in any of the checker's formats. Asks no replica. */
import {
  checkHistory,
  type Format,
  type History,
  HistoryError,
  HistoryParser,
  type HistoryReport,
  htmlReport,
  jsonReport,
  textReport,
} from '@kvd/checker';
import { isUtf8 } from 'node:buffer';
import { writeFile } from 'node:fs/promises';
import type { Context } from '../context.js';
import { CliError, EXIT, type ExitCode, reasonOf, usage } from '../errors.js';
import { nameOf, openInput, readLines } from '../input.js';

/** A scan of many entries is one line. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;

export interface CheckArgs {
  readonly file: string;
  readonly format: Format;
  readonly report?: string | undefined;
  /** Seconds. */
  readonly timeLimit: number;
}

/** @returns done when all is well, negative when it is not, unknown when that could not be decided in time */
export async function check(context: Context, args: CheckArgs): Promise<ExitCode> {
  const startMs = performance.now();
  const { history, report } = await judge(args);
  if (args.report !== undefined)
    await writeReport(args.report, htmlReport(history, report, { title: args.file }));
  const ms = Math.round(performance.now() - startMs);
  await context.out.result({ ...jsonReport(history, report), ms }, textReport(history, report));
  switch (report.verdict) {
    case 'ok':
      return EXIT.done;
    case 'violated':
      return EXIT.negative;
    case 'undecided':
      return EXIT.unknown;
  }
}

async function judge({
  file,
  format,
  timeLimit,
}: CheckArgs): Promise<{ history: History; report: HistoryReport }> {
  try {
    const parser = new HistoryParser(format);
    for await (const { line, bytes } of readLines(await openInput(file), LINE_BYTES_MAX)) {
      // Decoded all the same, what is no UTF-8 would all look alike.
      if (!isUtf8(bytes)) throw new HistoryError('HISTORY_MALFORMED', 'not UTF-8', line);
      parser.add(bytes.toString('utf8'), line);
    }
    const history = parser.finish();
    const report = checkHistory(history, { timeLimitMs: timeLimit * 1000, now: () => performance.now() });
    return { history, report };
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
    throw new CliError(EXIT.refused, error.code, `${nameOf(file)}: ${error.message}`);
  }
}

async function writeReport(file: string, html: string): Promise<void> {
  try {
    await writeFile(file, html);
  } catch (error) {
    throw usage(`cannot write ${file}: ${reasonOf(error)}`);
  }
}
