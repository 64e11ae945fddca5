/** The command line of `kvctl member`: its commands and flags, and what a change is in words. Parsing only. */
import { MEMBERS_MAX, type MemberChange } from '@kvd/protocol';
import type { Argv } from 'yargs';
import { type Doing, late, optionalText, secondsAsMs, wholeNumber } from './cli-options.js';
import type { GlobalArgs } from './context.js';
import { usage } from './errors.js';

const memberChange = late(async () => (await import('./commands/members.js')).memberChange);
const memberList = late(async () => (await import('./commands/members.js')).memberList);
const memberPlan = late(async () => (await import('./commands/members.js')).memberPlan);

const ID_MAX = 2 ** 31 - 1;
const DEFAULT_WAIT_SECONDS = '300';
const WAIT_MS_MAX = 86_400_000;

/** A change as it is typed after `member` or `member plan`, and what it does. */
const CHANGES = {
  add: {
    words: '<id>',
    about: 'a replica that runs with --join becomes a learner, and a voter once it has caught up',
  },
  remove: { words: '<id>', about: 'it is told to stop, and is no member any more' },
  promote: { words: '<id>', about: 'a learner becomes a voter once it has caught up' },
  demote: { words: '<id>', about: 'it becomes a learner: it serves reads and does not vote' },
  replace: { words: '<old> <new>', about: 'NEW is added, catches up, and becomes a voter as OLD leaves' },
  readmit: {
    words: '<id>',
    about: 'it lost its disk and is a member again (where kvd runs with --readmit manual)',
  },
  quorum: { words: '<size>', about: "so many accept each value; 'majority' or 0: a majority" },
  'move-leader': { words: '[id]', about: 'it leads from now on, or whoever is fit best' },
} as const;

/** As CHANGES names them, in the order in which they are typed. */
const POSITIONALS = ['id', 'old', 'new', 'size'];

type ChangeName = keyof typeof CHANGES;
const CHANGE_NAMES = Object.keys(CHANGES) as ChangeName[];

const learner = { type: 'boolean', default: false, describe: 'add: it is to stay a learner' } as const;
const force = {
  type: 'boolean',
  default: false,
  describe: 'even if that leaves no quorum that can be reached now; never what would be unsafe',
} as const;
const wait = {
  default: DEFAULT_WAIT_SECONDS,
  describe: 'seconds until it is to be done, else exit 1; --no-wait: only until it is in the log',
  coerce: (given: unknown): number => (given === false ? 0 : secondsAsMs('--wait', given, 0, WAIT_MS_MAX)),
} as const;

export function addMembers(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command('member', 'who the members are, and changes of them', (member) => {
    member
      .demandCommand(1, 'say which: kvctl member --help lists them')
      .command(
        'list',
        'members, who waits to be one, and what the cluster survives',
        (y) => y,
        doing((context) => memberList(context)),
      )
      .command(
        'plan [change] [id] [new]',
        'what a change would mean, in the words of the change; without words: how it stands. Exit 1: it would be refused',
        (y) =>
          y
            .positional('change', optionalText)
            .positional('id', optionalText)
            .positional('new', optionalText)
            .option('learner', learner)
            .option('force', force),
        doing((context, args) => {
          const words = [args.change, args.id, args.new].filter((word) => word !== undefined);
          const change = words.length === 0 ? null : readChange(words, args.learner);
          return memberPlan(context, change, args.force);
        }),
      );
    for (const name of CHANGE_NAMES) addChange(member, doing, name);
    return member;
  });
}

function addChange(cli: Argv<GlobalArgs>, doing: Doing, name: ChangeName): void {
  const { words, about } = CHANGES[name];
  cli.command(
    `${name} ${words}`,
    about,
    (y) => {
      const all = y.option('force', force).option('wait', wait);
      return name === 'add' ? all.option('learner', learner) : all;
    },
    doing((context, args) => {
      const typed = POSITIONALS.flatMap((positional) => {
        const word: unknown = Reflect.get(args, positional);
        return typeof word === 'string' ? [word] : [];
      });
      const isLearner = Reflect.get(args, 'learner') === true;
      const change = readChange([name, ...typed], isLearner);
      return memberChange(context, change, { force: args.force, waitMs: args.wait });
    }),
  );
}

/** What is to be, from the words that say it. @throws CliError usage */
export function readChange(words: readonly string[], isLearner: boolean): MemberChange {
  const [name, ...rest] = words;
  const change = changeOf(name ?? '', rest, isLearner);
  if (isLearner && change.type !== 'add') throw usage('--learner goes with add only');
  if (isLearner && change.type === 'add' && change.replaces !== 0)
    throw usage('--learner: who replaces another is to vote like it');
  return change;
}

function changeOf(name: string, words: readonly string[], isLearner: boolean): MemberChange {
  const replica = (index: number): number => wholeNumber('replica', words[index], 1, ID_MAX);
  const [least, most] = countsOf(name);
  if (words.length < least || words.length > most)
    throw usage(`${name} takes ${CHANGES[name as ChangeName].words}`);
  switch (name as ChangeName) {
    case 'add':
      return { type: 'add', replicaId: replica(0), promote: !isLearner, replaces: 0 };
    case 'replace': {
      const [old, young] = [replica(0), replica(1)];
      if (old === young)
        throw usage('replace: OLD and NEW are the same; wipe it and start it, if its disk is lost');
      return { type: 'add', replicaId: young, promote: true, replaces: old };
    }
    case 'remove':
    case 'promote':
    case 'demote':
    case 'readmit':
      return { type: name as 'remove', replicaId: replica(0) };
    case 'quorum': {
      const size = words[0] === 'majority' ? 0 : wholeNumber('size', words[0], 0, MEMBERS_MAX);
      return { type: 'accept-quorum', size };
    }
    case 'move-leader':
      return { type: 'move-leader', replicaId: words.length === 0 ? 0 : replica(0) };
  }
}

/** @throws CliError usage when there is no such change */
function countsOf(name: string): [least: number, most: number] {
  if (!CHANGE_NAMES.includes(name as ChangeName))
    throw usage(`'${name}' is no change: ${CHANGE_NAMES.join(', ')}`);
  const { words } = CHANGES[name as ChangeName];
  return [words.match(/</g)?.length ?? 0, words.split(' ').length];
}
