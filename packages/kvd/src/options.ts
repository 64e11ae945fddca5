/**
 * Reads the options: a flag goes before the environment (KVD_TICK_MS), that before the --config file, that before the
 * default. Touches nothing but the file that --config names; prints nothing; every error is a StartError (exit 2).
 */
import { readFileSync } from 'node:fs';
import type { PaxosRole } from '@kvd/replica';
import * as v from 'valibot';
import yargs from 'yargs';
import type { HostPort, PeerAddress } from './addresses.js';
import { EXIT, StartError } from './exit-codes.js';
import {
  defaultText,
  OPTION_NAMES,
  OPTION_TABLE,
  type OptionName,
  type OptionValue,
} from './option-table.js';

export interface ChaosSettings {
  /** Probability, at each interval, that one role is killed. */
  readonly failRate: number;
  readonly intervalMs: number;
  readonly downMs: number;
  readonly roles: readonly PaxosRole[];
}

export interface KvdOptions {
  readonly id: number;
  /** Sorted by id; null when not given, which only a directory that was founded before allows. */
  readonly peers: readonly PeerAddress[] | null;
  /** Where to bind; null: this replica's own address. */
  readonly listen: HostPort | null;
  readonly dataDirectory: string;
  readonly tickMs: number;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly alpha: number;
  readonly inFlightSlots: number;
  readonly batchBytes: number;
  readonly batchCommands: number;
  readonly snapshotSlots: number;
  readonly logLevel: OptionValue<'log-level'>;
  readonly chaos: ChaosSettings;
  /** null: chance. */
  readonly chaosSeed: number | null;
}

export type ParsedCommandLine =
  | { readonly type: 'run'; readonly options: KvdOptions }
  /** --help or --version: print and exit 0. */
  | { readonly type: 'print'; readonly text: string };

/** A value as found, and where, for messages. */
interface Found {
  readonly value: unknown;
  readonly where: string;
}

type Values = { [N in OptionName]?: OptionValue<N> };

const CONFIG_BYTES_MAX = 1024 * 1024;

/**
 * @param argv without node and script
 * @throws StartError (exit 2) that says what is wrong and what is allowed
 */
export async function parseCommandLine(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): Promise<ParsedCommandLine> {
  const flags = await readFlags(argv, version);
  if (typeof flags === 'string') return { type: 'print', text: flags };
  const configPath = flags.get('config') ?? fromEnvironment(env, 'config');
  const config = configPath === undefined ? new Map<string, Found>() : readConfig(String(configPath.value));
  const values: Values = {};
  for (const name of OPTION_NAMES) {
    const found = flags.get(name) ?? fromEnvironment(env, name) ?? config.get(name);
    assignValue(values, name, found);
    // A small --alpha alone is no contradiction: only an in-flight-slots that was asked for can be one.
    if (name === 'in-flight-slots' && found === undefined) {
      values[name] = Math.min(required(values, name), required(values, 'alpha'));
    }
  }
  return { type: 'run', options: toOptions(values) };
}

/** The flags given, or the text of --help or --version. */
async function readFlags(argv: readonly string[], version: string): Promise<Map<string, Found> | string> {
  let parser = yargs()
    .scriptName('kvd')
    .usage('$0 --id N --peers ID=HOST:PORT,… --data DIRECTORY\n\nRuns one replica of a kvd cluster.')
    .parserConfiguration({
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'boolean-negation': false,
      'short-option-groups': false,
    })
    .option('config', { type: 'string', requiresArg: true, describe: 'a JSON file with the same names' })
    .epilogue(
      'Every option is also an environment variable: KVD_TICK_MS for --tick-ms. A flag goes before the environment,\n' +
        'that before the file. Exit codes: 0 clean, 2 bad usage, 3 foreign or locked data directory, 4 storage\n' +
        'failed, 5 port taken, 6 removed from the cluster, 70 internal error.',
    )
    .version(version)
    .strict()
    .wrap(110)
    .exitProcess(false);
  for (const name of OPTION_NAMES) {
    const { describe, allowed } = OPTION_TABLE[name];
    const fallback = defaultText(name);
    const shown = fallback === '' ? '' : ` [${fallback}]`;
    parser = parser.option(name, {
      type: 'string',
      requiresArg: true,
      describe: `${describe}: ${allowed}${shown}`,
    });
  }
  let text = '';
  const parsed = await parser.parseAsync([...argv], {}, (error, _argv, output) => {
    text = output;
    if (error !== undefined && error !== null) throw new StartError(EXIT.badUsage, error.message);
  });
  if (parsed['help'] === true || parsed['version'] === true) return text;
  const flags = new Map<string, Found>();
  for (const name of [...OPTION_NAMES, 'config']) {
    const value = parsed[name];
    if (Array.isArray(value)) throw new StartError(EXIT.badUsage, `--${name} is given ${value.length} times`);
    if (typeof value === 'string')
      flags.set(name, { value: fromText(name, value), where: 'on the command line' });
  }
  return flags;
}

function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTION_TABLE, name);
}

/** Text from a flag or the environment, as the JSON value it stands for. */
function fromText(name: string, text: string): string | number {
  const numeric = isOptionName(name) && OPTION_TABLE[name].numeric;
  return numeric && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** An empty variable counts as none, as compose files leave them. */
function fromEnvironment(env: Readonly<Record<string, string | undefined>>, name: string): Found | undefined {
  const variable = `KVD_${name.toUpperCase().replaceAll('-', '_')}`;
  const text = env[variable];
  if (text === undefined || text === '') return undefined;
  return { value: fromText(name, text), where: `${variable} in the environment` };
}

function readConfig(path: string): Map<string, Found> {
  const bad = (why: string): StartError => new StartError(EXIT.badUsage, `--config ${path}: ${why}`);
  let content: unknown;
  try {
    const bytes = readFileSync(path);
    if (bytes.length > CONFIG_BYTES_MAX) throw new Error(`it is larger than ${CONFIG_BYTES_MAX} bytes`);
    content = JSON.parse(bytes.toString());
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error));
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw bad('the file must hold one JSON object');
  }
  const config = new Map<string, Found>();
  for (const [name, value] of Object.entries(content)) {
    if (!isOptionName(name))
      throw bad(`unknown name ${JSON.stringify(name)}; the names are those of the flags`);
    config.set(name, { value, where: `in ${path}` });
  }
  return config;
}

function assignValue<N extends OptionName>(values: Values, name: N, found: Found | undefined): void {
  const spec: { allowed: string; schema: v.GenericSchema<unknown, unknown>; fallback?: unknown } =
    OPTION_TABLE[name];
  if (found === undefined) {
    if (spec.fallback !== undefined) values[name] = spec.fallback as Values[N];
    return;
  }
  const result = v.safeParse(spec.schema, found.value);
  if (!result.success) {
    const issue = result.issues[0];
    const why = issue.type === 'raw_transform' ? `${issue.message}` : `not ${JSON.stringify(found.value)}`;
    throw new StartError(EXIT.badUsage, `--${name} must be ${spec.allowed}: ${why} (${found.where})`);
  }
  values[name] = result.output as Values[N];
}

function toOptions(values: Values): KvdOptions {
  const options: KvdOptions = {
    id: required(values, 'id'),
    peers: values.peers ?? null,
    listen: values.listen ?? null,
    dataDirectory: required(values, 'data'),
    tickMs: required(values, 'tick-ms'),
    electionTimeoutMs: required(values, 'election-timeout-ms'),
    heartbeatMs: required(values, 'heartbeat-ms'),
    alpha: required(values, 'alpha'),
    inFlightSlots: required(values, 'in-flight-slots'),
    batchBytes: required(values, 'batch-bytes'),
    batchCommands: required(values, 'batch-commands'),
    snapshotSlots: required(values, 'snapshot-slots'),
    logLevel: required(values, 'log-level'),
    chaos: {
      failRate: required(values, 'chaos-fail-rate'),
      intervalMs: required(values, 'chaos-interval-ms'),
      downMs: required(values, 'chaos-down-ms'),
      roles: required(values, 'chaos-roles'),
    },
    chaosSeed: values['chaos-seed'] ?? null,
  };
  checkTogether(options);
  return options;
}

function required<N extends OptionName>(values: Values, name: N): NonNullable<Values[N]> {
  const value = values[name];
  if (value === undefined || value === null) {
    throw new StartError(EXIT.badUsage, `--${name} is missing: ${OPTION_TABLE[name].allowed}`);
  }
  return value;
}

/** What no option can judge alone. */
function checkTogether(options: KvdOptions): void {
  const { tickMs, heartbeatMs, electionTimeoutMs, alpha, inFlightSlots, peers, id } = options;
  const demand = (holds: boolean, message: string): void => {
    if (!holds) throw new StartError(EXIT.badUsage, message);
  };
  demand(tickMs <= heartbeatMs, `--tick-ms (${tickMs}) must not be above --heartbeat-ms (${heartbeatMs})`);
  demand(
    heartbeatMs < electionTimeoutMs,
    `--heartbeat-ms (${heartbeatMs}) must be below --election-timeout-ms (${electionTimeoutMs})`,
  );
  demand(inFlightSlots <= alpha, `--in-flight-slots (${inFlightSlots}) must not be above --alpha (${alpha})`);
  demand(
    peers === null || peers.some((peer) => peer.id === id),
    `--peers does not list this replica (--id ${id}): ${describePeers(peers)}`,
  );
}

/** `1=127.0.0.1:15000,2=…`, as --peers takes it. */
export function describePeers(peers: readonly PeerAddress[] | null): string {
  return (peers ?? []).map((peer) => `${peer.id}=${peer.address}`).join(',');
}
