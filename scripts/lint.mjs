// npm run lint: lint rules, format, and the types of the tests (set-up checks those of the sources).
import path from 'node:path';
import { root, run } from './run.mjs';
import { setup, SetupError } from './setup.mjs';

const checks = [
  ['oxlint', '--type-aware', '--quiet'],
  ['biome', 'format', '--colors=off'],
  ['tsc', '-p', 'tsconfig.test.json'],
];

try {
  await setup();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exit(error.exitCode);
}
for (const [tool, ...args] of checks) {
  const { exitCode, interrupted } = await run(path.join(root, 'node_modules/.bin', tool), args);
  if (interrupted) process.exit(exitCode);
  if (exitCode === 0) continue;
  console.error(`lint: ${tool} ${args.join(' ')} found something`);
  process.exitCode = 1;
}
