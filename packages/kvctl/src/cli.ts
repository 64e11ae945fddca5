/** The command line: commands, flags and help, as INTERFACE says. Parsing only; what a command does is in commands/. */
import { readFileSync } from 'node:fs';
import type { Argv } from 'yargs';
import yargs from 'yargs';
import { addBench } from './bench-cli.js';
import { addSnapshots } from './backup-cli.js';
import { addCheck } from './check-cli.js';
import { usageMessage } from './cli-failure.js';
import { count, type Doing, late, fraction, number, optionalText, text, wholeNumber } from './cli-options.js';
import { Context, DEFAULT_TIMEOUT_MS, type GlobalArgs } from './context.js';
import { addData } from './data-cli.js';
import { addDrills } from './drill/cli.js';
import { EXIT, type ExitCode, usage } from './errors.js';
import { addMembers } from './member-cli.js';
import { dataDir } from './paths.js';
import { addRecover } from './recover-cli.js';

const chaosCampaign = late(async () => (await import('./commands/chaos.js')).chaosCampaign);
const chaosSet = late(async () => (await import('./commands/chaos.js')).chaosSet);
const chaosShow = late(async () => (await import('./commands/chaos.js')).chaosShow);
const clusterAdd = late(async () => (await import('./commands/cluster.js')).clusterAdd);
const clusterDown = late(async () => (await import('./commands/cluster.js')).clusterDown);
const clusterKill = late(async () => (await import('./commands/cluster.js')).clusterKill);
const clusterPause = late(async () => (await import('./commands/cluster.js')).clusterPause);
const clusterRestart = late(async () => (await import('./commands/cluster.js')).clusterRestart);
const clusterResume = late(async () => (await import('./commands/cluster.js')).clusterResume);
const clusterStatus = late(async () => (await import('./commands/cluster.js')).clusterStatus);
const clusterUp = late(async () => (await import('./commands/cluster.js')).clusterUp);
const clusterWipe = late(async () => (await import('./commands/cluster.js')).clusterWipe);
const dump = late(async () => (await import('./commands/load.js')).dump);
const load = late(async () => (await import('./commands/load.js')).load);
const run = late(async () => (await import('./commands/run.js')).run);
const shell = late(async () => (await import('./commands/shell.js')).shell);
const status = late(async () => (await import('./commands/status.js')).status);

const TIMEOUT_MS_MAX = 3_600_000;
const ID_MAX = 2 ** 31 - 1;

/** No argument can contain it, so a word that begins with it is a shielded one. */
const SHIELD = '\0';
/** Commands that run what comes after --. */
const WITH_PROGRAM = ['watch', 'lock', 'elect'];
/** Global options whose value is a word of its own, and not the name of the command. */
const GLOBAL_WITH_VALUE = [
  '-e',
  '--endpoints',
  '-o',
  '--output',
  '--timeout',
  '--consistency',
  '--principal',
  '--reason',
];

/** -ojson: an option of one letter, and its value. */
const ATTACHED = /^(-[eo])([^=].*)$/;
/** Of more than one letter, and no number: yargs would take -hello for five flags, the first of which is -h. */
const NO_FLAG = /^-[^-=][^=]/;
const NUMBER = /^-(\d+(\.\d+)?|\.\d+)$/;

/**
 * Words that yargs would take for flags although they are none: '-', and all after '--'. Shielded they pass through it,
 * and a command gets them as they were. A program to run is one such word.
 *
 * @throws KVCTL_USAGE for a word with one dash that is no flag
 */
export function shield(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const before = end < 0 ? argv : argv.slice(0, end);
  const after = end < 0 ? [] : argv.slice(end + 1);
  const isProgram = WITH_PROGRAM.includes(commandOf(before)) && after.length > 0;
  return [
    ...before.flatMap(asYargsReads),
    ...(isProgram ? [after.join(SHIELD)] : after).map((word) => SHIELD + word),
  ];
}

function asYargsReads(word: string): string | string[] {
  if (word === '-') return SHIELD + word;
  const [, name, value] = ATTACHED.exec(word) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  if (NO_FLAG.test(word) && !NUMBER.test(word))
    throw usage(`unknown flag ${word}; a word that begins with a dash and is no flag comes after --`);
  return word;
}

function commandOf(words: readonly string[]): string {
  const at = words.findIndex(
    (word, index) => !word.startsWith('-') && !GLOBAL_WITH_VALUE.includes(words[index - 1] ?? ''),
  );
  return words[at] ?? '';
}

/** The program to run is not the positional that yargs took it for, if there was room for one before it. */
function takeProgram(args: object): void {
  if (!WITH_PROGRAM.includes(String(Reflect.get(args, '_')?.[0]))) return;
  const words = POSITIONALS.map((name) => [name, Reflect.get(args, name) as unknown] as const);
  const [name, joined] = words.find(([, word]) => isShielded(word)) ?? [];
  if (name !== 'program' && typeof words.at(-1)?.[1] === 'string')
    throw usage(`unexpected word '${String(words.at(-1)?.[1])}'; a program to run comes after --`);
  if (name === 'name') throw usage('the name is missing before --');
  if (name !== undefined) Reflect.deleteProperty(args, name);
  Reflect.set(args, 'program', typeof joined === 'string' ? joined.split(SHIELD).slice(1) : []);
}

const POSITIONALS = ['key', 'name', 'value', 'program'] as const;

function isShielded(word: unknown): word is string {
  return typeof word === 'string' && word.startsWith(SHIELD);
}

/** A message about shielded words as they were typed. */
function plainText(text: string): string {
  const words = text.split(' ').map((word) => (word.startsWith(SHIELD) ? word.slice(SHIELD.length) : word));
  return words.join(' ').replaceAll(SHIELD, ' ');
}

function unshield(args: object): void {
  for (const [name, value] of Object.entries(args)) {
    if (isShielded(value)) Reflect.set(args, name, value.slice(SHIELD.length));
  }
}

/** A parser of kvctl's arguments (shielded); `onDone` gets the exit code of the command that ran. */
export function makeCli(
  onDone: (exitCode: ExitCode) => void,
  extraFlags: readonly string[] | undefined,
  contextOf: (args: GlobalArgs) => Context = (args) => new Context(args),
): Argv<GlobalArgs> {
  /** Run a command with the context that its global options ask for. */
  const doing: Doing = (command) => async (args) => {
    takeProgram(args);
    unshield(args);
    onDone(await command(contextOf(args), args));
  };
  /** The command, and what it took no word of. */
  let words: readonly string[] = [];
  const cli = withGlobals(yargs())
    .scriptName('kvctl')
    .usage('$0 COMMAND: use and look after a kvd cluster')
    .parserConfiguration({
      'dot-notation': false,
      'duplicate-arguments-array': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .exitProcess(false)
    .strictCommands()
    .strict()
    .demandCommand(1, 'say which command; kvctl --help lists them')
    .version(packageVersion())
    .alias('h', 'help')
    .wrap(Math.min(110, process.stdout.columns || 110))
    .epilogue(
      'Exit codes: 0 done, 1 negative answer, 2 bad usage, 3 unavailable, 4 refused, 5 outcome unknown.',
    )
    .middleware(({ _: typed }) => {
      words = typed.map((word) => plainText(String(word)));
    }, true)
    .fail((message, error) => {
      // What a coerce function threw comes back as yargs' own error, a command's failure as it was.
      if (error !== undefined && error.name !== 'YError') throw error;
      throw usage(usageMessage(plainText(message ?? error?.message ?? ''), words));
    });
  addData(cli, doing);
  addScripts(cli, doing);
  addMembers(cli, doing);
  addSnapshots(cli, doing);
  addChaos(cli, doing);
  addCluster(cli, doing, extraFlags);
  addDrills(cli, doing);
  addBench(cli, doing);
  addCheck(cli, doing);
  addRecover(cli, doing);
  return cli.completion('completion', 'print a completion script for the shell');
}

function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return typeof content === 'object' && content !== null && 'version' in content
    ? String(content.version)
    : 'unknown';
}

function withGlobals(cli: Argv): Argv<GlobalArgs> {
  return cli
    .option('endpoints', {
      alias: 'e',
      type: 'string',
      default: process.env.KVCTL_ENDPOINTS || '127.0.0.1:15000',
      defaultDescription: 'KVCTL_ENDPOINTS or 127.0.0.1:15000',
      describe: 'replicas to ask, HOST:PORT,…',
      requiresArg: true,
      global: true,
    })
    .option('output', {
      alias: 'o',
      choices: ['text', 'json'] as const,
      default: 'text' as const,
      describe: 'for people, or JSON lines',
      requiresArg: true,
      global: true,
    })
    .option('timeout', {
      defaultDescription: String(DEFAULT_TIMEOUT_MS),
      describe: 'ms for each operation, retries included; lock and elect wait without end by default',
      ...number('--timeout', 1, TIMEOUT_MS_MAX),
      global: true,
    })
    .option('consistency', {
      choices: ['linearizable', 'stale'] as const,
      default: 'linearizable' as const,
      describe: 'of reads',
      requiresArg: true,
      global: true,
    })
    .option('principal', {
      type: 'string',
      default: process.env.KVCTL_PRINCIPAL,
      defaultDescription: 'KVCTL_PRINCIPAL or USER@HOST',
      describe: "who changes are noted to be by; '' names nobody",
      requiresArg: true,
      global: true,
    })
    .option('reason', {
      type: 'string',
      describe: 'why, for the history',
      requiresArg: true,
      global: true,
    })
    .option('hex', { type: 'boolean', describe: 'keys and values are given as hex', global: true })
    .option('base64', { type: 'boolean', describe: '… as base64', global: true });
}

/** Runs a command of kvctl within another one, the shell. */
async function runCommand(
  words: readonly string[],
  contextOf: (args: GlobalArgs) => Context,
): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const onDone = (code: ExitCode): void => {
    exitCode = code;
  };
  await makeCli(onDone, undefined, contextOf).parseAsync(shield(words));
  return exitCode;
}

function addScripts(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'run <file>',
    "do a script; '-' reads it from stdin",
    (y) =>
      y
        .positional('file', text)
        .option('repeat', { ...count('--repeat'), default: 1, describe: 'times that each worker does it' })
        .option('concurrency', {
          ...count('--concurrency'),
          default: 1,
          describe: 'workers at the same time',
        })
        .option('keep-going', { type: 'boolean', default: false, describe: 'go on after a failure' }),
    doing(run),
  );
  cli.command(
    'shell',
    'type operations, with history and completion',
    plain,
    doing((context) => shell(context, runCommand)),
  );
  cli.command(
    'load <file>',
    'put entries given as JSON lines {"key","value"}',
    (y) => y.positional('file', text),
    doing((context, args) => load(context, args.file)),
  );
  cli.command(
    'dump [prefix]',
    'print entries as JSON lines that load reads',
    (y) => y.positional('prefix', { type: 'string', default: '' } as const),
    doing((context, args) => dump(context, args.prefix)),
  );
  cli.command(
    'status',
    'show every replica',
    plain,
    doing((context) => status(context)),
  );
}

function addChaos(cli: Argv<GlobalArgs>, doing: Doing): void {
  const replica = { ...number('--replica', 1, ID_MAX), describe: "the replica's number" } as const;
  cli.command('chaos', 'make running replicas fail on purpose', (chaos) =>
    chaos
      .command(
        ['show', '$0'],
        'show the settings',
        (y) => y.option('replica', replica),
        doing((context, args) => chaosShow(context, args.replica)),
      )
      .command(
        'set',
        'change what is given, leave the rest',
        (y) =>
          y
            .option('replica', { ...replica, describe: 'which, by its number; must be given' })
            .option('fail-rate', { ...fraction('--fail-rate'), describe: 'probability, 0 to 1' })
            .option('interval-ms', {
              ...number('--interval-ms', 1, TIMEOUT_MS_MAX),
              describe: 'how often to try',
            })
            .option('down-ms', {
              ...number('--down-ms', 1, TIMEOUT_MS_MAX),
              describe: 'how long a role stays down',
            })
            .option('roles', { ...optionalText, requiresArg: true, describe: 'of acceptor,learner,proposer' })
            .option('off', { type: 'boolean', default: false, describe: 'no more failures' }),
        doing(chaosSet),
      )
      .command(
        'campaign',
        'make a replica compete for leadership now',
        (y) => y.option('replica', replica),
        doing((context, args) => chaosCampaign(context, args.replica)),
      ),
  );
}

function addCluster(cli: Argv<GlobalArgs>, doing: Doing, flags: readonly string[] | undefined): void {
  const numbered = (
    cluster: Argv<GlobalArgs & { dir: string }>,
    name: string,
    about: string,
    command: (context: Context, dir: string, id: number, timeoutMs: number) => Promise<ExitCode>,
  ): void => {
    cluster.command(
      `${name} <replica>`,
      about,
      (y) =>
        y.positional('replica', {
          demandOption: true,
          coerce: (id: unknown) => wholeNumber('replica', id, 1, ID_MAX),
        }),
      doing((context, args) => command(context, args.dir, args.replica, context.timeoutMs)),
    );
  };
  cli.command('cluster', 'a local cluster of real processes', (y) => {
    const directory = {
      type: 'string',
      default: dataDir,
      defaultDescription: 'data/ in the repository',
      describe: 'where its data is',
      requiresArg: true,
    } as const;
    const cluster = y.option('dir', directory).demandCommand(1, 'say which: kvctl cluster --help lists them');
    cluster.command(
      'up',
      'start it, or those replicas that are down; flags after -- go to every kvd from now on (-- alone: none)',
      (up) =>
        up
          .option('replicas', { ...number('--replicas', 1, 9), describe: 'how many, at the first start [5]' })
          .option('port', { ...number('--port', 1, 65_535), describe: 'of replica 1 [15000]' }),
      doing((context, { dir, replicas, port }) => clusterUp(context, dir, { replicas, port, flags })),
    );
    cluster.command(
      'down',
      'stop it',
      plainIn,
      doing((context, args) => clusterDown(context, args.dir)),
    );
    cluster.command(
      'status',
      'show its processes',
      plainIn,
      doing((context, args) => clusterStatus(context, args.dir)),
    );
    numbered(cluster, 'kill', 'kill -9 a replica', clusterKill);
    numbered(cluster, 'pause', 'stop a replica in its tracks (SIGSTOP)', clusterPause);
    numbered(cluster, 'resume', 'let a paused replica go on', clusterResume);
    numbered(
      cluster,
      'restart',
      'stop a replica if it runs, start it and wait until it is ready',
      clusterRestart,
    );
    cluster.command(
      'add',
      'start one more replica, which waits for kvctl member add',
      (add) =>
        add.option('witness', {
          type: 'boolean',
          default: false,
          describe: 'it is to vote, and hold no data',
        }),
      doing((context, args) => clusterAdd(context, args.dir, args.witness)),
    );
    numbered(cluster, 'wipe', 'kill a replica and remove its data', clusterWipe);
    return cluster;
  });
}

/** Of a command without arguments. */
const plain = (y: Argv<GlobalArgs>) => y;
const plainIn = (y: Argv<GlobalArgs & { dir: string }>) => y;
