/** kvctl's entry: parses the arguments, runs the command, ends with its exit code. Shows no stack, whatever happens. */
import { makeCli, shield } from './cli.js';
import { EXIT, type ExitCode, exitCodeOf } from './errors.js';
import { endOnBrokenPipe, Output } from './output.js';

/** `kvctl cluster up … -- FLAGS`: what comes after -- belongs to kvd, and yargs must not see it. */
function splitExtra(argv: readonly string[]): [own: readonly string[], extra: readonly string[] | undefined] {
  const at = argv.indexOf('--');
  const words = argv.slice(0, at).filter((word) => !word.startsWith('-'));
  if (at < 0 || !words.includes('cluster') || !words.includes('up')) return [argv, undefined];
  return [argv.slice(0, at), argv.slice(at + 1)];
}

async function main(argv: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const [own, extra] = splitExtra(argv);
  try {
    await makeCli((code) => {
      exitCode = code;
    }, extra).parseAsync(shield(own));
  } catch (error) {
    // The global options may be what could not be parsed.
    const json = own.some(
      (word, index) =>
        /^(-o|--output)=?json$/.test(word) || (/^(-o|--output)$/.test(word) && own[index + 1] === 'json'),
    );
    new Output(json ? 'json' : 'text').error(error);
    exitCode = exitCodeOf(error);
  }
  return exitCode;
}

/** A bug of ours: what was under way may have been done, so the outcome is unknown. */
function endOnFault(): void {
  const onFault = (error: unknown): void => {
    new Output('text').error(error);
    process.exit(EXIT.unknown);
  };
  process.on('uncaughtException', onFault);
  process.on('unhandledRejection', onFault);
}

endOnBrokenPipe();
endOnFault();
process.exitCode = await main(process.argv.slice(2));
