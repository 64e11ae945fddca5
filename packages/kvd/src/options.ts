/**
 * Reads the options: a flag goes before the environment (KVD_TICK_MS), that before the --config file, that before the
 * default. Touches nothing but the file that --config names; prints nothing; every error is a StartError (exit 2).
 */
import { readFileSync } from 'node:fs';
import { whyImpossible } from '@kvd/paxos';
import type { PaxosRole } from '@kvd/replica';
import * as v from 'valibot';
import yargs from 'yargs';
import { describePeers, type Founder, formatAddress, type HostPort, isUnspecified } from './addresses.js';
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
  /** Sorted by id; null when not given, which only who joins, or a directory that was used before, may do. */
  readonly peers: readonly Founder[] | null;
  /** HOST:PORT of replicas to ask who the members are, this one not among them; null: founds, or needs nobody to ask. */
  readonly join: readonly string[] | null;
  /** Where to bind; null: this replica's own address. */
  readonly listen: HostPort | null;
  /** HOST:PORT of this replica, as this start says; null: as written down. */
  readonly address: string | null;
  /** Where to reach these replicas, whatever they or the log say. */
  readonly dial: readonly { readonly id: number; readonly address: string }[];
  /** Null: as its directory was formatted. */
  readonly witness: boolean | null;
  readonly dataDirectory: string;
  readonly tickMs: number;
  readonly electionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly readmit: 'auto' | 'manual';
  readonly slowLeaderMs: number;
  /** 0: a majority. */
  readonly acceptQuorum: number;
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
/** Defaults, where the times that they have to fit into are not shorter. Every tick of an idle replica is a wake-up. */
const HEARTBEAT_MS = 100;
const TICK_MS = 50;

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
    .usage(
      '$0 --id N --peers ID=HOST:PORT,… --data DIRECTORY\n$0 --id N --join HOST:PORT,… --listen HOST:PORT --data ' +
        'DIRECTORY\n\nRuns one replica of a kvd cluster: of one that it founds, or of one that it joins.',
    )
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
    const { describe, allowed, kind } = OPTION_TABLE[name];
    const fallback = defaultText(name);
    const shown = fallback === '' ? '' : ` [${fallback}]`;
    parser = parser.option(name, {
      type: 'string',
      requiresArg: kind !== 'switch',
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
function fromText(name: string, text: string): string | number | boolean {
  switch (isOptionName(name) ? OPTION_TABLE[name].kind : 'text') {
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'switch':
      return text === '' || text === 'true' ? true : text === 'false' ? false : text;
    case 'text':
      return text;
  }
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
  const { peers = null, listen = null } = values;
  const id = required(values, 'id');
  const address = addressOf(values, id);
  const electionTimeoutMs = required(values, 'election-timeout-ms');
  const heartbeatMs = values['heartbeat-ms'] ?? partOf(electionTimeoutMs, 4, HEARTBEAT_MS);
  const options: KvdOptions = {
    id,
    peers,
    join: values.join?.filter((other) => other !== address) ?? null,
    listen,
    address,
    dial: values.dial ?? [],
    witness: witnessOf(values, id),
    dataDirectory: required(values, 'data'),
    tickMs: values['tick-ms'] ?? partOf(heartbeatMs, 2, TICK_MS),
    electionTimeoutMs,
    heartbeatMs,
    readmit: required(values, 'readmit'),
    slowLeaderMs: required(values, 'slow-leader-ms'),
    acceptQuorum: values['accept-quorum'] ?? 0,
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

/** Whoever shortens one time is not to be told to shorten the next one too. */
function partOf(ms: number, parts: number, msMax: number): number {
  return Math.max(1, Math.min(msMax, Math.floor(ms / parts)));
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
  const { tickMs, heartbeatMs, electionTimeoutMs, alpha, inFlightSlots } = options;
  const demand = (holds: boolean, message: string): void => {
    if (!holds) throw new StartError(EXIT.badUsage, message);
  };
  demand(tickMs <= heartbeatMs, `--tick-ms (${tickMs}) must not be above --heartbeat-ms (${heartbeatMs})`);
  demand(
    heartbeatMs < electionTimeoutMs,
    `--heartbeat-ms (${heartbeatMs}) must be below --election-timeout-ms (${electionTimeoutMs})`,
  );
  demand(inFlightSlots <= alpha, `--in-flight-slots (${inFlightSlots}) must not be above --alpha (${alpha})`);
  if (options.peers !== null) checkFounding(options, options.peers, demand);
  if (options.join !== null) checkJoining(options, options.join, demand);
}

type Demand = (holds: boolean, message: string) => void;

function checkFounding(
  { id, join, witness, alpha, acceptQuorum }: KvdOptions,
  peers: readonly Founder[],
  demand: Demand,
): void {
  demand(join === null, '--peers founds a cluster and --join joins one: only one of them can be given');
  const own = peers.find((peer) => peer.id === id);
  demand(own !== undefined, `--peers does not list this replica (--id ${id}): ${describePeers(peers)}`);
  demand(
    witness === (own?.role === 'witness'),
    `--witness: the entry of replica ${id} in --peers does not end in /witness`,
  );
  const members = peers.map(({ id: replicaId, address, role }) => ({
    replicaId,
    incarnation: '',
    address,
    role,
  }));
  const reason = whyImpossible({ clusterId: '', alpha, replaces: 0, members, acceptQuorum });
  demand(reason === '', `no cluster can be founded like that: ${reason}`);
}

function checkJoining(
  { address, listen, acceptQuorum }: KvdOptions,
  join: readonly string[],
  demand: Demand,
): void {
  demand(join.length > 0, '--join names only this replica itself: it needs another one of the cluster');
  demand(
    address !== null,
    listen === null
      ? '--join needs --advertise or --listen: where peers and clients reach this replica'
      : `--listen ${formatAddress(listen)} is where to bind, and nothing that peers can reach: give --advertise too`,
  );
  demand(
    acceptQuorum === 0,
    '--accept-quorum counts where a cluster is founded; kvctl member quorum changes that of a running one',
  );
}

/** Where this start says that the replica is reached. Where it binds says so only if nobody else does. */
function addressOf({ advertise, listen, peers, join }: Values, id: number): string | null {
  const own = peers?.find((peer) => peer.id === id);
  if (advertise !== undefined) return formatAddress(advertise);
  if (own !== undefined) return own.address;
  return join === undefined ? null : addressIn(listen ?? null);
}

/** The address to bind as one to connect to; null where it is none. */
export function addressIn(listen: HostPort | null): string | null {
  return listen === null || isUnspecified(listen) ? null : formatAddress(listen);
}

function witnessOf({ witness = false, peers, join }: Values, id: number): boolean | null {
  const own = peers?.find((peer) => peer.id === id);
  if (own !== undefined) return witness || own.role === 'witness';
  return witness || join !== undefined ? witness : null;
}
