import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { StartError } from '../src/exit-codes.js';
import { OPTION_NAMES, type OptionName } from '../src/option-table.js';
import { type KvdOptions, parseCommandLine } from '../src/options.js';

const PEERS = '1=127.0.0.1:15000,2=127.0.0.1:15001,3=127.0.0.1:15002';
const REQUIRED = ['--id', '1', '--peers', PEERS, '--data', 'data/replica-1'];

type Env = Readonly<Record<string, string>>;

async function parse(argv: readonly string[], env: Env = {}): Promise<KvdOptions> {
  const parsed = await parseCommandLine(argv, env, '1.2.3');
  if (parsed.type !== 'run') throw new Error(`printed ${parsed.text}`);
  return parsed.options;
}

/** The message, of an error that exits with 2. */
async function refusal(t: Test, argv: readonly string[], env: Env = {}): Promise<string> {
  try {
    await parse(argv, env);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    t.equal(error.exitCode, 2, argv.join(' '));
    return error.message;
  }
  return t.fail(`accepted ${argv.join(' ')} ${JSON.stringify(env)}`) ? '' : 'accepted';
}

/** For each option: text, the same in a configuration file, and what it becomes. */
const SAMPLES: Record<
  OptionName,
  { text: string; json: unknown; read: (options: KvdOptions) => unknown; becomes: unknown }
> = {
  id: { text: '2', json: 2, read: (o) => o.id, becomes: 2 },
  peers: {
    text: '1=[::1]:7,2=db.example.org:8,3=db3:9/witness',
    json: '1=[::1]:7,2=db.example.org:8,3=db3:9/witness',
    read: (o) => o.peers,
    becomes: [
      { id: 1, address: '[::1]:7', role: 'voter' },
      { id: 2, address: 'db.example.org:8', role: 'voter' },
      { id: 3, address: 'db3:9', role: 'witness' },
    ],
  },
  join: {
    text: 'db1:7, [::1]:8,db1:7',
    json: 'db1:7,[::1]:8',
    read: (o) => o.join,
    becomes: ['db1:7', '[::1]:8'],
  },
  listen: { text: '[::]:99', json: '[::]:99', read: (o) => o.listen, becomes: { host: '::', port: 99 } },
  advertise: { text: 'db:98', json: 'db:98', read: (o) => o.address, becomes: 'db:98' },
  dial: {
    text: '3=127.0.0.1:9,2=[::1]:8',
    json: '2=[::1]:8,3=127.0.0.1:9',
    read: (o) => o.dial,
    becomes: [
      { id: 2, address: '[::1]:8' },
      { id: 3, address: '127.0.0.1:9' },
    ],
  },
  witness: { text: 'true', json: true, read: (o) => o.witness, becomes: true },
  readmit: { text: 'manual', json: 'manual', read: (o) => o.readmit, becomes: 'manual' },
  'accept-quorum': { text: '2', json: 2, read: (o) => o.acceptQuorum, becomes: 2 },
  data: { text: '/x y', json: '/x y', read: (o) => o.dataDirectory, becomes: '/x y' },
  'tick-ms': { text: '7', json: 7, read: (o) => o.tickMs, becomes: 7 },
  'heartbeat-ms': { text: '77', json: 77, read: (o) => o.heartbeatMs, becomes: 77 },
  'election-timeout-ms': { text: '777', json: 777, read: (o) => o.electionTimeoutMs, becomes: 777 },
  'slow-leader-ms': { text: '0', json: 0, read: (o) => o.slowLeaderMs, becomes: 0 },
  alpha: { text: '64', json: 64, read: (o) => o.alpha, becomes: 64 },
  'in-flight-slots': { text: '3', json: 3, read: (o) => o.inFlightSlots, becomes: 3 },
  'batch-bytes': { text: '4096', json: 4096, read: (o) => o.batchBytes, becomes: 4096 },
  'batch-commands': { text: '5', json: 5, read: (o) => o.batchCommands, becomes: 5 },
  'snapshot-slots': { text: '6', json: 6, read: (o) => o.snapshotSlots, becomes: 6 },
  'log-level': { text: 'debug', json: 'debug', read: (o) => o.logLevel, becomes: 'debug' },
  'chaos-fail-rate': { text: '0.25', json: 0.25, read: (o) => o.chaos.failRate, becomes: 0.25 },
  'chaos-interval-ms': { text: '123', json: 123, read: (o) => o.chaos.intervalMs, becomes: 123 },
  'chaos-down-ms': { text: '321', json: 321, read: (o) => o.chaos.downMs, becomes: 321 },
  'chaos-roles': {
    text: 'learner,proposer',
    json: 'learner,proposer',
    read: (o) => o.chaos.roles,
    becomes: ['learner', 'proposer'],
  },
  'chaos-seed': { text: '42', json: 42, read: (o) => o.chaosSeed, becomes: 42 },
};

/** What must be there, less the option that is looked at. */
function others(name: OptionName): string[] {
  const peers = name === 'witness' ? PEERS.replace('15000', '15000/witness') : PEERS;
  const pairs = [
    ['--id', '1'],
    name === 'join' ? ['--listen', 'db2:9'] : ['--peers', peers],
    ['--data', 'd'],
  ].filter(([flag]) => flag !== `--${name}`);
  return pairs.flat();
}

test('defaults suit a LAN, and chaos is off', async (t) => {
  t.strictSame(await parse(REQUIRED), {
    id: 1,
    peers: [
      { id: 1, address: '127.0.0.1:15000', role: 'voter' },
      { id: 2, address: '127.0.0.1:15001', role: 'voter' },
      { id: 3, address: '127.0.0.1:15002', role: 'voter' },
    ],
    join: null,
    listen: null,
    address: '127.0.0.1:15000',
    dial: [],
    witness: false,
    dataDirectory: 'data/replica-1',
    tickMs: 50,
    electionTimeoutMs: 400,
    heartbeatMs: 100,
    slowLeaderMs: 5_000,
    readmit: 'auto',
    acceptQuorum: 0,
    alpha: 256,
    inFlightSlots: 8,
    batchBytes: 1_048_576,
    batchCommands: 4_096,
    snapshotSlots: 10_000,
    logLevel: 'info',
    chaos: { failRate: 0, intervalMs: 1_000, downMs: 1_000, roles: ['acceptor'] },
    chaosSeed: null,
  });
});

test('every option works as flag, as environment variable and in a file, in that order', async (t) => {
  const directory = t.testdir({});
  for (const name of OPTION_NAMES) {
    const { text, json, read, becomes } = SAMPLES[name];
    const file = join(directory, `${name}.json`);
    writeFileSync(file, JSON.stringify({ [name]: json }));
    const variable = `KVD_${name.toUpperCase().replaceAll('-', '_')}`;
    const rest = others(name);
    t.strictSame(read(await parse([...rest, `--${name}`, text])), becomes, `--${name}`);
    t.strictSame(read(await parse([...rest, `--${name}=${text}`])), becomes, `--${name}=`);
    t.strictSame(read(await parse(rest, { [variable]: text })), becomes, variable);
    t.strictSame(read(await parse([...rest, '--config', file])), becomes, `${name} in a file`);
    t.strictSame(read(await parse(rest, { [variable]: text, KVD_CONFIG: file })), becomes, `${name} in both`);
  }
  const file = join(directory, 'order.json');
  writeFileSync(file, '{"tick-ms": 11, "alpha": 111}');
  const env = { KVD_TICK_MS: '12', KVD_CONFIG: file };
  t.equal((await parse(REQUIRED, env)).tickMs, 12, 'the environment goes before the file');
  t.equal(
    (await parse([...REQUIRED, '--tick-ms', '13'], env)).tickMs,
    13,
    'a flag goes before the environment',
  );
  t.equal((await parse(REQUIRED, env)).alpha, 111, 'the file goes before the default');
  t.equal((await parse(REQUIRED, { KVD_TICK_MS: '' })).tickMs, 50, 'an empty variable is none');
  const { heartbeatMs, tickMs } = await parse([...REQUIRED, '--election-timeout-ms', '200']);
  t.strictSame([heartbeatMs, tickMs], [50, 25], 'shorter times for a shorter election timeout');
  t.equal(
    (await parse(REQUIRED, { KVD_PORT: 'tcp://10.0.0.1:1', KVD_SERVICE_HOST: 'x' })).id,
    1,
    'foreign KVD_ names',
  );
});

test('a founding list is read exactly', async (t) => {
  const peers = (list: string) => ['--id', '1', '--data', 'd', '--peers', list];
  t.strictSame((await parse(peers(' 2=b:2/witness , 3=c:3,1=[FE80::1%eth0]:1'))).peers, [
    { id: 1, address: '[FE80::1%eth0]:1', role: 'voter' },
    { id: 2, address: 'b:2', role: 'witness' },
    { id: 3, address: 'c:3', role: 'voter' },
  ]);
  const refused: readonly (readonly [string, RegExp])[] = [
    ['1=a:1,1=b:2', /replica 1 is listed twice/],
    ['1=a:1,2=a:1', /replicas 1 and 2 have the same address a:1/],
    ['2=a:1', /does not list this replica \(--id 1\): 2=a:1/],
    ['1=a:0', /the port must be from 1 to 65535, not "0"/],
    ['1=a:65536', /the port must be from 1 to 65535/],
    ['1=a:http', /the port must be from 1 to 65535, not "http"/],
    ['1=a', /"a" is no HOST:PORT: the port is missing/],
    ['1=:7', /the host is missing/],
    ['1=::1:7', /an IPv6 address goes in brackets/],
    ['1=[::1]', /the port is missing/],
    ['1=[:g]:1', /an IPv6 address goes in brackets/],
    ['1=a b:1', /"a b" is no host name/],
    ['a:1', /"a:1" is no ID=HOST:PORT/],
    ['0=a:1', /"0=a:1" is no ID=HOST:PORT/],
    ['1=a:1,', /"" is no ID=HOST:PORT/],
    ['1=a:1/learner', /the port must be from 1 to 65535, not "1\/learner"/],
    ['1=a:1/witness', /no voter would be left that holds the data/],
    ['1=a:1,2=b:2/witness,3=c:3/witness', /2 witnesses would be a quorum by themselves/],
    ['1=a:1,2147483648=b:1', /positive number/],
    [Array.from({ length: 65 }, (_, i) => `${i + 1}=h:${i + 1}`).join(','), /65 members; at most 64/],
  ];
  for (const [list, why] of refused) t.match(await refusal(t, peers(list)), why, list);
});

test('one that joins says where it is reached, and founds nothing', async (t) => {
  const joins = (...more: readonly string[]) => ['--id', '4', '--data', 'd', '--join', 'a:1,b:2', ...more];
  t.match(await parse(joins('--listen', 'd:4')), {
    peers: null,
    join: ['a:1', 'b:2'],
    address: 'd:4',
    witness: false,
  });
  const advertised = await parse(joins('--listen', '0.0.0.0:4', '--advertise', 'd:4', '--witness'));
  t.match(advertised, { address: 'd:4', witness: true });
  t.strictSame(
    (await parse(joins('--listen', 'b:2'))).join,
    ['a:1'],
    'a list that all are given names itself too',
  );
  t.strictSame(
    await parse(['--id', '4', '--data', 'd', '--listen', 'd:4']).then(({ address }) => address),
    null,
  );
  const refused: readonly (readonly [readonly string[], RegExp])[] = [
    [joins(), /--join needs --advertise or --listen/],
    [
      joins('--listen', '0.0.0.0:4'),
      /--listen 0\.0\.0\.0:4 is where to bind, and nothing that peers can reach/,
    ],
    [joins('--listen', '[::]:4'), /give --advertise too/],
    [joins('--listen', 'd:4', '--peers', PEERS), /only one of them can be given/],
    [joins('--listen', 'd:4', '--accept-quorum', '2'), /counts where a cluster is founded/],
    [['--id', '4', '--data', 'd', '--join', 'd:4', '--listen', 'd:4'], /names only this replica itself/],
    [
      ['--id', '4', '--data', 'd', '--join', 'd', '--listen', 'd:4'],
      /"d" is no HOST:PORT: the port is missing/,
    ],
  ];
  for (const [argv, why] of refused) t.match(await refusal(t, argv), why, argv.join(' '));
});

test('where a founding member is reached, and what it is, its entry says; --advertise moves it', async (t) => {
  t.equal((await parse([...REQUIRED, '--listen', '0.0.0.0:1'])).address, '127.0.0.1:15000');
  t.equal((await parse([...REQUIRED, '--advertise', 'moved:1'])).address, 'moved:1');
  const later = await parse(['--id', '1', '--data', 'd']);
  t.match(later, { address: null, witness: null, peers: null, join: null }, 'as written down');
  t.equal((await parse(['--id', '1', '--data', 'd', '--witness'])).witness, true);
  const asWitness = PEERS.replace('15002', '15002/witness');
  t.equal((await parse(['--id', '3', '--data', 'd', '--peers', asWitness])).witness, true);
  t.equal((await parse(['--id', '1', '--data', 'd', '--peers', asWitness])).witness, false);
});

test('what is wrong is said, with what is allowed and where it was found', async (t) => {
  const directory = t.testdir({
    'number.json': '{"tick-ms": "20"}',
    'unknown.json': '{"tickMs": 20}',
    'list.json': '[]',
    'broken.json': '{',
  });
  const file = (name: string): string => join(directory, name);
  const refused: readonly (readonly [readonly string[], Env, RegExp])[] = [
    [[], {}, /--id is missing/],
    [['--id', '1'], {}, /--data is missing/],
    [
      [...REQUIRED, '--tick-ms', 'fast'],
      {},
      /--tick-ms must be an integer from 1 to 1000: not "fast" \(on the command/,
    ],
    [[...REQUIRED, '--tick-ms', '0x10'], {}, /not "0x10"/],
    [[...REQUIRED, '--tick-ms', '1.5'], {}, /not 1.5/],
    [[...REQUIRED, '--tick-ms', '0'], {}, /not 0/],
    [[...REQUIRED, '--tick-ms', '-5'], {}, /not -5/],
    [
      REQUIRED,
      { KVD_ALPHA: '4097' },
      /--alpha must be an integer from 1 to 4096: not 4097 \(KVD_ALPHA in the env/,
    ],
    [
      [...REQUIRED, '--chaos-fail-rate', '1.1'],
      {},
      /--chaos-fail-rate must be a number from 0 to 1: not 1.1/,
    ],
    [
      [...REQUIRED, '--chaos-roles', 'leader'],
      {},
      /a list of acceptor, learner, proposer: there is no role "leader"/,
    ],
    [[...REQUIRED, '--chaos-roles', 'learner,learner'], {}, /a role is listed twice/],
    [[...REQUIRED, '--log-level', 'loud'], {}, /one of trace, .*: there is no level "loud"/],
    [[...REQUIRED, '--data', ' '], {}, /--data is given 2 times/],
    [
      ['--id', '1', '--peers', PEERS, '--data', ' '],
      {},
      /--data must be the path of a directory: it is empty/,
    ],
    [[...REQUIRED, '--speed', '9'], {}, /Unknown argument: speed/],
    [[...REQUIRED, '--tickMs', '9'], {}, /Unknown argument: tickMs/],
    [[...REQUIRED, '--no-alpha'], {}, /Unknown argument: no-alpha/],
    [[...REQUIRED, 'extra'], {}, /Unknown argument: extra/],
    [[...REQUIRED, '--listen'], {}, /Not enough arguments following: listen/],
    [
      [...REQUIRED, '--heartbeat-ms', '10', '--tick-ms', '20'],
      {},
      /--tick-ms \(20\) must not be above --heartbeat-ms \(10\)/,
    ],
    [
      [...REQUIRED, '--heartbeat-ms', '400'],
      {},
      /--heartbeat-ms \(400\) must be below --election-timeout-ms \(400\)/,
    ],
    [
      [...REQUIRED, '--witness'],
      {},
      /--witness: the entry of replica 1 in --peers does not end in \/witness/,
    ],
    [[...REQUIRED, '--witness', 'perhaps'], {}, /--witness must be true or false: not "perhaps"/],
    [[...REQUIRED, '--dial', '2=h:9/witness'], {}, /only --peers says who is a witness/],
    [[...REQUIRED, '--readmit', 'never'], {}, /--readmit must be auto or manual: "never" is neither/],
    [[...REQUIRED, '--accept-quorum', '0'], {}, /--accept-quorum must be an integer from 1 to 64: not 0/],
    [
      [...REQUIRED, '--accept-quorum', '4'],
      {},
      /an accept quorum of 4 needs as many voters, and there would be 3/,
    ],
    [
      [...REQUIRED, '--alpha', '4', '--in-flight-slots', '5'],
      {},
      /--in-flight-slots \(5\) must not be above --alpha/,
    ],
    [[...REQUIRED, '--config', file('none.json')], {}, /--config .*none.json: ENOENT/],
    [
      [...REQUIRED, '--config', file('number.json')],
      {},
      /--tick-ms must be .*: not "20" \(in .*number.json\)/,
    ],
    [[...REQUIRED, '--config', file('unknown.json')], {}, /unknown name "tickMs"/],
    [[...REQUIRED, '--config', file('list.json')], {}, /must hold one JSON object/],
    [[...REQUIRED, '--config', file('broken.json')], {}, /broken.json: .*JSON/],
  ];
  for (const [argv, env, why] of refused) t.match(await refusal(t, argv, env), why, argv.slice(6).join(' '));
});

test('a small alpha alone pulls the slots in flight down with it', async (t) => {
  t.equal((await parse([...REQUIRED, '--alpha', '4'])).inFlightSlots, 4);
});

test('a switch is on where it is named, and off where it says so', async (t) => {
  const joins = ['--id', '4', '--data', 'd', '--join', 'a:1', '--listen', 'd:4'];
  t.equal((await parse([...joins, '--witness', '--alpha', '4'])).witness, true);
  t.equal((await parse([...joins, '--witness=false'], { KVD_WITNESS: 'true' })).witness, false);
  t.equal((await parse(joins, { KVD_WITNESS: '' })).witness, false, 'an empty variable is none');
});

test('--help shows every option, --version the version', async (t) => {
  const help = await parseCommandLine(['--help'], {}, '1.2.3');
  if (help.type !== 'print') throw new Error('--help ran');
  for (const name of OPTION_NAMES) t.match(help.text, `--${name}`);
  t.match(help.text, /--config/);
  t.match(help.text, /\[1048576\]/);
  const version = await parseCommandLine(['--version'], {}, '1.2.3');
  t.strictSame(version, { type: 'print', text: '1.2.3' });
});
