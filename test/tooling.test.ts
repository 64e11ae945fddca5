/**
 * What keeps the packages in shape: which package may import which (DESIGN, section 1), that each declares what
 * it imports, and that the core and its driver have no clock, no timer, no randomness and no promise.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));

/** package -> the packages it may import. Arrows point down this list only. */
const arrows: Record<string, readonly string[]> = {
  kvctl: ['protocol', 'client', 'checker', 'store'],
  kvd: ['paxos', 'protocol', 'replica', 'store', 'transport'],
  sim: ['paxos', 'protocol', 'replica', 'store', 'checker'],
  level: ['protocol', 'client'],
  client: ['protocol', 'transport'],
  transport: ['paxos', 'protocol', 'replica'],
  store: ['paxos', 'protocol', 'replica'],
  replica: ['paxos', 'protocol'],
  protocol: ['paxos'],
  checker: [],
  paxos: [],
};

/** The packages that must behave alike on real and on simulated machines, and the builtins each may use. */
const deterministic: Record<string, readonly string[]> = {
  paxos: [],
  replica: ['node:assert', 'node:buffer', 'node:crypto', 'node:zlib'],
};

const forbiddenGlobals = new Set([
  'Date',
  'Promise',
  'performance',
  'process',
  'queueMicrotask',
  'setImmediate',
  'setInterval',
  'setTimeout',
]);

test('arrows point one way only', (t) => {
  const order = Object.keys(arrows);
  for (const [name, allowed] of Object.entries(arrows)) {
    for (const below of allowed) {
      t.ok(order.indexOf(below) > order.indexOf(name), `${name} -> ${below} points down the list`);
    }
  }
  t.end();
});

for (const name of packageNames()) {
  test(`${name} imports only what it may and what it declares`, (t) => {
    const allowed = arrows[name];
    if (!allowed) {
      t.fail(`packages/${name} is not in the arrows of this test`);
      t.end();
      return;
    }
    const manifest = readJson(`packages/${name}/package.json`);
    const declared = Object.keys((manifest['dependencies'] ?? {}) as object);
    const problems: string[] = [];
    for (const dependency of declared) {
      const below = /^@kvd\/(.+)$/.exec(dependency)?.[1];
      if (below && !allowed.includes(below)) problems.push(`package.json depends on ${dependency}`);
    }
    for (const reference of (readJson(`packages/${name}/tsconfig.json`)['references'] ?? []) as {
      path: string;
    }[]) {
      const below = path.basename(reference.path);
      if (!allowed.includes(below)) problems.push(`tsconfig.json refers to ${below}`);
    }
    for (const file of sourceFiles(name)) {
      for (const specifier of importsOf(file)) {
        const problem = judgeImport(name, allowed, declared, file, specifier);
        if (problem) problems.push(`${file} imports ${specifier}: ${problem}`);
      }
    }
    t.strictSame(problems, []);
    t.end();
  });
}

for (const name of Object.keys(deterministic)) {
  test(`${name} has no clock, no timer, no randomness, no promise`, (t) => {
    t.strictSame(sourceFiles(name).flatMap(impuritiesOf), []);
    t.end();
  });
}

test('the search for impurities finds each kind', (t) => {
  const found = (text: string) => impurities('x.ts', text).map((line) => line.split(' ').at(-1));
  t.strictSame(found('const a = Date.now() + performance.now();'), ['Date', 'performance']);
  t.strictSame(found('setTimeout(f, 1); setInterval(f, 1); process.exit();'), [
    'setTimeout',
    'setInterval',
    'process',
  ]);
  t.strictSame(found('Math.random(); Math["random"](); Math.max(1, 2);'), ['Math.random', 'Math.random']);
  t.strictSame(found('async function f() { await g(); for await (const x of y) {} }'), [
    'async',
    'await',
    'await',
  ]);
  t.strictSame(found('let p: Promise<void>; globalThis.setTimeout;'), ['Promise', 'globalThis']);
  t.strictSame(
    found('import { type Promise } from "./messages.js"; let p: Promise;'),
    [],
    'ours, not the global',
  );
  t.strictSame(found('a.process(); b.Date; const c = { performance: 1 }; // Date'), [], 'names of members');
  t.end();
});

function judgeImport(
  name: string,
  allowed: readonly string[],
  declared: readonly string[],
  file: string,
  specifier: string,
): string | undefined {
  if (specifier.startsWith('.')) {
    const target = path.join(path.dirname(file), specifier);
    if (!target.startsWith(`packages/${name}/src/`)) return 'it is outside of src';
    return specifier.endsWith('.js') ? undefined : 'a relative import ends in .js';
  }
  const builtins = deterministic[name];
  if (specifier.startsWith('node:')) {
    return builtins && !builtins.includes(specifier)
      ? 'not in a package that runs in the simulator'
      : undefined;
  }
  const dependency = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const below = /^@kvd\/(.+)$/.exec(dependency)?.[1];
  if (below && !allowed.includes(below)) return 'against the arrows';
  return declared.includes(dependency) ? undefined : 'not among the dependencies in its package.json';
}

function importsOf(file: string): string[] {
  return ts.preProcessFile(read(file), true, true).importedFiles.map((imported) => imported.fileName);
}

function impuritiesOf(file: string): string[] {
  return impurities(file, read(file));
}

/** Uses of forbidden globals and keywords, one line each: file:line and what. */
function impurities(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const ours = declaredNames(source);
  const found: string[] = [];
  const report = (node: ts.Node, what: string) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${file}:${line + 1} ${what}`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier))
      report(node, 'await');
    if (node.kind === ts.SyntaxKind.AsyncKeyword) report(node, 'async');
    if (isMathRandom(node)) report(node, 'Math.random');
    if (ts.isIdentifier(node) && !isMemberName(node) && !ours.has(node.text)) {
      if (forbiddenGlobals.has(node.text) || node.text === 'globalThis') report(node, node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isMathRandom(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) {
    return node.expression.getText() === 'Math' && node.name.text === 'random';
  }
  return (
    ts.isElementAccessExpression(node) &&
    node.expression.getText() === 'Math' &&
    ts.isStringLiteralLike(node.argumentExpression) &&
    node.argumentExpression.text === 'random'
  );
}

/** `x` in a.x, { x: 1 }, x(): void and the like: a name that refers to no variable. */
function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  if (ts.isQualifiedName(parent)) return parent.right === node;
  if (ts.isShorthandPropertyAssignment(parent)) return false;
  return (
    (ts.isTypeElement(parent) || ts.isClassElement(parent) || ts.isObjectLiteralElement(parent)) &&
    parent.name === node
  );
}

/** Names that a file itself imports or declares, and so does not mean the global by. */
function declaredNames(source: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    const declares =
      ts.isImportSpecifier(node) ||
      ts.isVariableDeclaration(node) ||
      ts.isParameter(node) ||
      ts.isFunctionDeclaration(node) ||
      ts.isClassDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node);
    if (declares && node.name && ts.isIdentifier(node.name)) names.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

function packageNames(): string[] {
  return fs.readdirSync(path.join(root, 'packages')).filter((name) => {
    return fs.existsSync(path.join(root, 'packages', name, 'package.json'));
  });
}

function sourceFiles(name: string): string[] {
  return fs
    .readdirSync(path.join(root, 'packages', name, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `packages/${name}/src/${file}`);
}

function read(file: string): string {
  return fs.readFileSync(path.join(root, file), 'utf8');
}

function readJson(file: string): Record<string, unknown> {
  return JSON.parse(read(file)) as Record<string, unknown>;
}
