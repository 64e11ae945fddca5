/**
 * Types what docs/OPERATIONS.md says about members, word for word and in its order, on machines that are directories
 * (support/machines.ts). What happened before a page is needed (a disk died, a machine is gone) is done here.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import { root } from '../support/cluster.js';
import { Machines } from '../support/machines.js';

const manual = readFileSync(path.join(root, 'docs', 'OPERATIONS.md'), 'utf8');
const ANYWHERE = 'anywhere';
/** `member list` is typed again until it shows what the page says it will. */
const LIST_MS = 20_000;

interface Page {
  readonly title: string;
  /** What made somebody look for it. */
  readonly before?: (machines: Machines) => Promise<void>;
  /** Each `member list` of it, in their order. */
  readonly lists: readonly RegExp[];
  readonly shows?: Readonly<Record<string, RegExp>>;
  /** Machines whose replica ended with 6. */
  readonly removed?: readonly string[];
}

const FOUNDERS = '1=10.0.0.1:15000,2=10.0.0.2:15000,3=10.0.0.3:15000';

const PAGES: readonly Page[] = [
  {
    title: '## Members',
    async before(machines) {
      for (const id of [1, 2, 3]) {
        const command = `bin/kvd --id ${id} --peers ${FOUNDERS} --data /var/lib/kvd`;
        await machines.type(`10.0.0.${id}`, command);
      }
    },
    lists: [/survives the crash of 1, the loss of 1 disk\n$/],
  },
  {
    title: '### A disk died',
    async before(machines) {
      await machines.kill('10.0.0.3');
      machines.loseDisk('10.0.0.3');
    },
    lists: [voters(1, 2, 3)],
  },
  {
    title: '### A machine is replaced',
    before: (machines) => machines.kill('10.0.0.2'),
    lists: [/4 .*waiting.*kvctl member add 4/],
    shows: {
      'bin/kvctl member plan replace 2 4': /1\. add replica 4.*[^]*2\. make replica 4 a voter and remove/,
      'bin/kvctl member replace 2 4': /replica 4 is a voter, and replica 2 is no member any more/,
    },
  },
  {
    title: '### Growing and shrinking',
    lists: [/5 .*waiting[^]*6 .*waiting/],
    shows: {
      'bin/kvctl member add 6': /replica 6 is a voter\nsurvives the crash of 2, the loss of 2 disks/,
      'bin/kvctl member plan remove 6': /after: survives the crash of 1, the loss of 1 disk/,
      'bin/kvctl member remove 5': /replica 5 is no member any more/,
      'bin/kvctl member move-leader 3': /replica 3 leads/,
    },
    removed: ['10.0.0.5', '10.0.0.6'],
  },
  {
    title: '### Two machines and a witness',
    lists: [/3 .*witness/, /4 .*waiting \(witness\)/],
    shows: { 'bin/kvctl member replace 3 4': /replica 4 is a witness, and replica 3 is no member/ },
    removed: ['10.0.1.3'],
  },
];

function voters(...ids: readonly number[]): RegExp {
  // With a note, a row goes on.
  return new RegExp(ids.map((id) => `│ ${id} +│ \\S+ +│ (voter|leader) +│ yes +│ \\d+ +│ +│`).join('[^]*'));
}

test('the pages on members work as they are written', async (t) => {
  const machines = await Machines.make(manual);
  t.teardown(() => machines.close());
  for (const page of PAGES) {
    await t.test(page.title.replace(/^#+ /, ''), async (t) => {
      await page.before?.(machines);
      const lists = [...page.lists];
      const shown = new Set<string>();
      for (const { machine, command } of commandsOf(page.title)) {
        const wanted = command === 'bin/kvctl member list' ? lists.shift() : page.shows?.[command];
        shown.add(command);
        await typeAndCheck(t, machines, machine, command, wanted);
      }
      for (const machine of page.removed ?? [])
        t.equal(await machines.ended(machine), 6, `${machine} ended with 6`);
      t.same(lists, [], 'member list is on the page as often as it is expected');
      t.same(
        Object.keys(page.shows ?? {}).filter((command) => !shown.has(command)),
        [],
        'and so is all that is expected to show something',
      );
    });
  }
});

async function typeAndCheck(
  t: Test,
  machines: Machines,
  machine: string,
  command: string,
  wanted?: RegExp,
): Promise<void> {
  let typed = await machines.type(machine, command);
  if (command === 'bin/kvctl member list') {
    const endMs = performance.now() + LIST_MS;
    while (!(typed.code === 0 && wanted?.test(typed.output)) && performance.now() < endMs)
      typed = await machines.type(machine, command);
  }
  t.equal(typed.code, 0, typed.code === 0 ? command : `${command}\n${typed.output}`);
  if (wanted !== undefined) t.match(typed.output, wanted, `what ${command} shows`);
}

/** What the `sh` blocks of a page say, up to the next heading. */
function commandsOf(title: string): { machine: string; command: string }[] {
  const [, text = ''] = manual.split(`\n${title}\n`);
  const [page = ''] = text.split(/^##/m);
  const blocks = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block]) => block ?? '');
  let machine = ANYWHERE;
  return blocks.flatMap((block) =>
    block
      .trim()
      .split('\n')
      .flatMap((line) => {
        const [, place] = /^# (?:on )?(\S+)$/.exec(line) ?? [];
        if (place === undefined) return [{ machine, command: line }];
        machine = place;
        return [];
      }),
  );
}
