/**
 * Every option of kvd once: its name, what it means, what is allowed, its default. Flags, environment, configuration
 * file and --help are made from this table; parsing them is options.ts.
 */
import { ALPHA_MAX, BATCH_COMMANDS_MAX, MEMBERS_MAX, REQUEST_BYTES_MAX } from '@kvd/protocol';
import type { PaxosRole } from '@kvd/replica';
import * as v from 'valibot';
import {
  type Founder,
  type HostPort,
  parseAddress,
  parseAddresses,
  parseDial,
  parsePeers,
  REPLICA_ID_MAX,
} from './addresses.js';

export interface OptionSpec<T = unknown> {
  readonly describe: string;
  /** What is allowed, as it ends the sentence "--x must be …". */
  readonly allowed: string;
  /** In a configuration file numbers are numbers, switches are true or false, and all else is a string. */
  readonly kind: 'number' | 'switch' | 'text';
  readonly schema: v.GenericSchema<unknown, T>;
  readonly fallback?: T;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const PAXOS_ROLES: readonly PaxosRole[] = ['acceptor', 'learner', 'proposer'];

function integer(describe: string, min: number, max: number, fallback?: number): OptionSpec<number> {
  const schema = v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));
  const spec = { describe, allowed: `an integer from ${min} to ${max}`, kind: 'number' as const, schema };
  return fallback === undefined ? spec : { ...spec, fallback };
}

/** True where the flag is given without a value. */
function onOrOff(describe: string): OptionSpec<boolean> {
  return { describe, allowed: 'true or false', kind: 'switch', schema: v.boolean(), fallback: false };
}

/** Text that `parse` turns into T; what it throws is shown. */
function parsed<T>(
  describe: string,
  allowed: string,
  parse: (text: string) => T,
  fallback?: T,
): OptionSpec<T> {
  const schema = v.pipe(
    v.string(),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return parse(dataset.value);
      } catch (error) {
        addIssue({ message: error instanceof Error ? error.message : String(error) });
        return NEVER;
      }
    }),
  );
  const spec = { describe, allowed, kind: 'text' as const, schema };
  return fallback === undefined ? spec : { ...spec, fallback };
}

function parseLevel(text: string): (typeof LOG_LEVELS)[number] {
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) throw new Error(`there is no level "${text}"`);
  return level;
}

function parseReadmit(text: string): 'auto' | 'manual' {
  if (text !== 'auto' && text !== 'manual') throw new Error(`"${text}" is neither`);
  return text;
}

/** @throws Error on an unknown role, a role given twice, or none. */
export function parseRoles(text: string): readonly PaxosRole[] {
  const roles = text.split(',').map((part) => {
    const role = PAXOS_ROLES.find((known) => known === part.trim());
    if (role === undefined) throw new Error(`there is no role "${part.trim()}"`);
    return role;
  });
  if (new Set(roles).size < roles.length) throw new Error('a role is listed twice');
  return roles;
}

function nonEmpty(text: string): string {
  if (text.trim() === '') throw new Error('it is empty');
  return text;
}

export const CHAOS_MS_MAX = 3_600_000;

export const OPTION_TABLE = {
  id: integer("this replica's number", 1, REPLICA_ID_MAX),
  peers: parsed<readonly Founder[]>(
    'the founding members; later it overrides addresses, never membership',
    'a list ID=HOST:PORT,…, where the entry of a witness ends in /witness',
    parsePeers,
  ),
  join: parsed<readonly string[]>(
    'replicas of a cluster that others founded, to wait there until it is added',
    'a list HOST:PORT,…',
    parseAddresses,
  ),
  listen: parsed<HostPort>('where to bind [own address]', 'HOST:PORT', parseAddress),
  advertise: parsed<HostPort>(
    'own address, where peers and clients reach it [own entry in --peers, else --listen]',
    'HOST:PORT',
    parseAddress,
  ),
  dial: parsed<ReturnType<typeof parseDial>>(
    'where to reach these replicas, whatever they or the log say: behind a proxy, through a tunnel',
    'a list ID=HOST:PORT,…',
    parseDial,
  ),
  witness: onOrOff('it votes, but keeps no keys and never leads; counts when its directory is formatted'),
  data: parsed('data directory', 'the path of a directory', nonEmpty),
  'tick-ms': integer('length of a tick; by default half of heartbeat-ms, at most 50', 1, 1_000),
  'heartbeat-ms': integer(
    'how often a leader says that it is there; by default a quarter of election-timeout-ms, at most 100',
    1,
    60_000,
  ),
  'election-timeout-ms': integer('silence of the leader after which another stands', 10, 600_000, 400),
  'slow-leader-ms': integer(
    'how long a leader is much slower than the others before it hands over; 0: it never does',
    0,
    600_000,
    5_000,
  ),
  readmit: parsed<'auto' | 'manual'>(
    'whether a leader admits a member that lost its disk again by itself',
    'auto or manual',
    parseReadmit,
    'auto',
  ),
  'accept-quorum': integer(
    'how many accept a value before it is chosen; counts at founding only [a majority]',
    1,
    MEMBERS_MAX,
  ),
  alpha: integer('how many slots ahead a configuration works; counts at founding only', 1, ALPHA_MAX, 256),
  'in-flight-slots': integer('slots proposed at the same time', 1, ALPHA_MAX, 8),
  'batch-bytes': integer('bytes of commands in a slot', 1_024, REQUEST_BYTES_MAX, 1_048_576),
  'batch-commands': integer('commands in a slot', 1, BATCH_COMMANDS_MAX, 4_096),
  'snapshot-slots': integer(
    'slots kept behind the applied ones before the log is cut',
    1,
    10_000_000,
    10_000,
  ),
  'log-level': parsed('what is logged', `one of ${LOG_LEVELS.join(', ')}`, parseLevel, 'info'),
  'chaos-fail-rate': {
    describe: 'probability that a role is killed at an interval',
    allowed: 'a number from 0 to 1',
    kind: 'number',
    schema: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
    fallback: 0,
  } satisfies OptionSpec<number>,
  'chaos-interval-ms': integer('how often chaos throws its dice', 10, CHAOS_MS_MAX, 1_000),
  'chaos-down-ms': integer('how long a killed role stays down', 1, CHAOS_MS_MAX, 1_000),
  'chaos-roles': parsed<readonly PaxosRole[]>(
    'which roles chaos kills',
    `a list of ${PAXOS_ROLES.join(', ')}`,
    parseRoles,
    ['acceptor'],
  ),
  'chaos-seed': integer('makes the dice of chaos repeatable', 0, 2 ** 32 - 1),
} as const;

export type OptionName = keyof typeof OPTION_TABLE;
export const OPTION_NAMES = Object.keys(OPTION_TABLE) as OptionName[];
export type OptionValue<N extends OptionName> = v.InferOutput<(typeof OPTION_TABLE)[N]['schema']>;

/** The default as it would be written, or empty. */
export function defaultText(name: OptionName): string {
  const { fallback }: OptionSpec = OPTION_TABLE[name];
  return fallback === undefined ? '' : JSON.stringify(fallback).replaceAll(/["[\]]/g, '');
}
