/**
 * What the documents point at exists: links and their anchors, files, the names said to be in a file, commands. What the
 * README tells to type is run by test/processes/readme.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';

const root = fileURLToPath(new URL('..', import.meta.url));
let commands: ReadonlySet<string> | null = null;
const documents = ['README.md', ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`)];
/** Names of all source files, wherever they are. */
const sourceFiles = allSourceFiles();

for (const document of documents) {
  const text = readFileSync(path.join(root, document), 'utf8');
  // Code blocks hold output and drawings; what is said in words is outside.
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '');

  test(`${document}: links lead somewhere`, async (t) => {
    for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? document : path.join(path.dirname(document), file);
      t.ok(existsSync(path.join(root, linked)), target);
      if (anchor !== undefined)
        t.ok(anchorsOf(linked).includes(anchor), `${linked} has the heading #${anchor}`);
    }
  });

  test(`${document}: files that it names exist`, async (t) => {
    for (const [, name = ''] of prose.matchAll(
      /`((?:packages\/[\w-]+)|[\w@./-]+\.(?:ts|mjs|md|yml|kvd|jsonl))`/g,
    )) {
      t.ok(isThere(name), name);
    }
  });

  test(`${document}: what it says is in a file is there`, async (t) => {
    for (const [, file = '', names = ''] of prose.matchAll(/`([\w/-]+\.ts)`\s+\(((?:`\w+`(?:,\s)?)+)\)/g)) {
      const source = readFileSync(path.join(root, 'packages', file), 'utf8');
      for (const [, name = ''] of names.matchAll(/`(\w+)`/g)) {
        t.match(source, new RegExp(`\\b${name}\\b`), `${name} in ${file}`);
      }
    }
  });

  test(`${document}: kvctl has the commands that it mentions`, async (t) => {
    const mentioned = new Set([...text.matchAll(/\bbin\/kvctl ([a-z]+)/g)].map(([, command]) => command));
    for (const command of mentioned) t.ok(kvctlCommands().has(command ?? ''), `kvctl ${command}`);
  });
}

function kvctlCommands(): ReadonlySet<string> {
  const help = () =>
    execFileSync(process.execPath, [path.join(root, 'bin/kvctl'), '--help'], { encoding: 'utf8' });
  commands ??= new Set([...help().matchAll(/^\s+kvctl ([a-z]+)/gm)].map(([, command]) => command ?? ''));
  return commands;
}

/** As GitHub makes them from headings. */
function anchorsOf(document: string): string[] {
  const text = readFileSync(path.join(root, document), 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replace(/ /g, '-'),
  );
}

/** Named from the root, from packages/, or by the file's name alone. */
function isThere(name: string): boolean {
  if (name.includes('/'))
    return ['', 'packages', 'docs'].some((base) => existsSync(path.join(root, base, name)));
  return sourceFiles.has(name) || documents.some((document) => path.basename(document) === name);
}

function allSourceFiles(): ReadonlySet<string> {
  const packages = readdirSync(path.join(root, 'packages')).map((name) => `packages/${name}/src`);
  const directories = [...packages, 'test', 'scripts'].map((directory) => path.join(root, directory));
  const files = directories
    .filter(existsSync)
    .flatMap((directory) => readdirSync(directory, { recursive: true, encoding: 'utf8' }));
  return new Set(files.map((file) => path.basename(file)));
}
