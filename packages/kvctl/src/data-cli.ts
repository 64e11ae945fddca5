/** The command line of what works on data: entries, transactions, watches, leases, locks, the history. Parsing only. */
import { LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, parseLease } from '@kvd/protocol';
import type { Argv } from 'yargs';
import { type Doing, late, number, optionalText, program, secondsAsMs, text } from './cli-options.js';
import type { GlobalArgs } from './context.js';
import { usage } from './errors.js';

const blame = late(async () => (await import('./commands/history.js')).blame);
const compact = late(async () => (await import('./commands/history.js')).compact);
const log = late(async () => (await import('./commands/history.js')).log);
const outcome = late(async () => (await import('./commands/history.js')).outcome);
const del = late(async () => (await import('./commands/kv.js')).del);
const get = late(async () => (await import('./commands/kv.js')).get);
const put = late(async () => (await import('./commands/kv.js')).put);
const scan = late(async () => (await import('./commands/kv.js')).scan);
const leaseGrant = late(async () => (await import('./commands/lease.js')).leaseGrant);
const leaseKeepAlive = late(async () => (await import('./commands/lease.js')).leaseKeepAlive);
const leaseList = late(async () => (await import('./commands/lease.js')).leaseList);
const leaseRevoke = late(async () => (await import('./commands/lease.js')).leaseRevoke);
const leaseShow = late(async () => (await import('./commands/lease.js')).leaseShow);
const elect = late(async () => (await import('./commands/lock.js')).elect);
const lock = late(async () => (await import('./commands/lock.js')).lock);
const txn = late(async () => (await import('./commands/txn.js')).txn);
const watch = late(async () => (await import('./commands/watch.js')).watch);

const REVISION_MAX = Number.MAX_SAFE_INTEGER;
const DEFAULT_LOCK_TTL = '10';

const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;
const key = (describe: string) => ({ ...optionalText, requiresArg: true, describe }) as const;
const revision = (name: string, describe: string, min = 1) =>
  ({ ...number(name, min, REVISION_MAX), describe }) as const;
const limit = (describe: string, min = 1) => ({ ...number('--limit', min, REVISION_MAX), describe }) as const;
const ttl = {
  default: DEFAULT_LOCK_TTL,
  requiresArg: true,
  describe: 'seconds until others get it when this process is gone',
  coerce: (given: unknown): number => secondsAsMs('--ttl', given, LEASE_TTL_MS_MIN, LEASE_TTL_MS_MAX),
} as const;
const leaseId = {
  demandOption: true,
  describe: 'as grant printed it',
  coerce: (given: unknown): number => leaseOf('lease', given),
} as const;

export function addData(cli: Argv<GlobalArgs>, doing: Doing): void {
  addEntries(cli, doing);
  addTxnAndWatch(cli, doing);
  addLeases(cli, doing);
  addLocks(cli, doing);
  addHistory(cli, doing);
}

function addEntries(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'put <key> <value>',
    "store a value; '-' reads it from stdin; exit 1 when a condition is false",
    (y) =>
      y
        .positional('key', text)
        .positional('value', text)
        .option('lease', {
          requiresArg: true,
          describe: 'the key ends with this lease',
          coerce: (given: unknown): number | undefined =>
            given === undefined ? undefined : leaseOf('--lease', given),
        })
        .option('if-absent', flag('only if there is no such key'))
        .option('if-revision', revision('--if-revision', 'only if this revision changed the key last', 0)),
    doing(put),
  );
  cli.command(
    'get <key>',
    'print a value; exit 1 when there is none',
    (y) => y.positional('key', text).option('revision', revision('--revision', 'as it was after this one')),
    doing(get),
  );
  cli.command(
    'del [key]',
    'delete a key, or all keys with a prefix',
    (y) =>
      y
        .positional('key', optionalText)
        .option('prefix', key('all keys that begin so'))
        .option('if-revision', revision('--if-revision', 'only if this revision changed the key last')),
    doing(del),
  );
  cli.command(
    'scan [prefix]',
    'list entries in the order of their keys, all of one revision',
    (y) =>
      y
        .positional('prefix', optionalText)
        .option('from', key('first key wanted'))
        .option('to', key('first key not wanted any more'))
        .option('limit', limit('entries at most', 0))
        .option('reverse', flag('the last key first'))
        .option('revision', revision('--revision', 'as it was after this one'))
        .option('keys-only', flag('leave the values out'))
        .option('count', flag('print only how many there are')),
    doing(scan),
  );
}

function addTxnAndWatch(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'txn <file>',
    "do a transaction, JSON as docs/API.md tells; '-' reads it from stdin",
    (y) => y.positional('file', text),
    doing((context, args) => txn(context, args.file)),
  );
  cli.command(
    'watch [key] [program]',
    'tell what happens to keys, or run a program for each event (-- CMD …)',
    (y) =>
      y
        .positional('key', optionalText)
        .positional('program', program)
        .option('prefix', key('all keys that begin so'))
        .option('from', key('first key wanted'))
        .option('to', key('first key not wanted any more'))
        .option('from-revision', revision('--from-revision', 'from this one on, also in the past'))
        .option('previous', flag('with what the key had before'))
        .option('limit', limit('end after so many events'))
        .option('keep-going', flag('go on after a program that failed')),
    doing(watch),
  );
}

function addLeases(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command('lease', 'leases: keys that end when nobody keeps them alive', (lease) =>
    lease
      .demandCommand(1, 'say which: kvctl lease --help lists them')
      .command(
        'grant <seconds>',
        'print a new lease',
        (y) =>
          y.positional('seconds', {
            demandOption: true,
            coerce: (given: unknown) => secondsAsMs('seconds', given, LEASE_TTL_MS_MIN, LEASE_TTL_MS_MAX),
          }),
        doing((context, args) => leaseGrant(context, args.seconds)),
      )
      .command(
        'revoke <lease>',
        'end it, and delete its keys',
        (y) => y.positional('lease', leaseId),
        doing((context, args) => leaseRevoke(context, args.lease)),
      )
      .command(
        'keep-alive <lease>',
        'let it live for its whole time again',
        (y) => y.positional('lease', leaseId),
        doing((context, args) => leaseKeepAlive(context, args.lease)),
      )
      .command(
        'show <lease>',
        'how long it lives, and its keys; exit 1 when it is over',
        (y) => y.positional('lease', leaseId),
        doing((context, args) => leaseShow(context, args.lease)),
      )
      .command(
        'list',
        'all of them',
        (y) => y,
        doing((context) => leaseList(context)),
      ),
  );
}

function addLocks(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'lock <name> [program]',
    'hold a lock while a program runs (-- CMD …), or until stdin closes',
    (y) =>
      y
        .positional('name', text)
        .positional('program', program)
        .option('ttl', ttl)
        .option('try', flag('do not wait: exit 1 when somebody has it')),
    doing((context, args) => lock(context, { ...args, ttlMs: args.ttl, tryOnce: args.try })),
  );
  cli.command(
    'elect <name> [value] [program]',
    'stand for election, and lead as lock holds; without VALUE: print who leads',
    (y) =>
      y
        .positional('name', text)
        .positional('value', { ...optionalText, describe: 'what others see of the leader' })
        .positional('program', program)
        .option('ttl', ttl)
        .option('observe', flag('without VALUE: print every leader from now on')),
    doing((context, args) => elect(context, { ...args, ttlMs: args.ttl })),
  );
}

function addHistory(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'log [key]',
    'what was done to a key, a prefix or everything, by whom and why; the oldest first',
    (y) =>
      y
        .positional('key', optionalText)
        .option('prefix', key('all keys that begin so'))
        .option('from-revision', revision('--from-revision', 'from this one on'))
        .option('limit', limit('revisions at most')),
    doing(log),
  );
  cli.command(
    'blame <key>',
    'who gave a key its value, when and why',
    (y) => y.positional('key', text).option('all', flag('every value it had, as far as history is kept')),
    doing(blame),
  );
  cli.command(
    'outcome [operation]',
    'what became of an operation; if nothing did, nothing ever will',
    (y) =>
      y
        .positional('operation', { ...optionalText, describe: 'its id, as the error said' })
        .option('idempotency-key', key('of a request over HTTP')),
    doing(outcome),
  );
  cli.command(
    'compact [revision]',
    'forget what was superseded at or below a revision, or say how much is kept from now on',
    (y) =>
      y
        .positional('revision', revision('revision', 'up to this one'))
        .option('keep-revisions', revision('--keep-revisions', 'keep so many (0: no bound of this kind)', 0))
        .option('keep-ms', { ...number('--keep-ms', 0, REVISION_MAX), describe: 'keep so long' })
        .option('keep-hours', { ...number('--keep-hours', 0, 1_000_000), describe: 'the same in hours' }),
    doing(compact),
  );
}

function leaseOf(name: string, given: unknown): number {
  const lease = parseLease(String(given));
  if (lease === null) throw usage(`${name}: '${String(given)}' is not the number of a lease`);
  return lease;
}
