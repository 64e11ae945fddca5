// npm start: sets up, then runs the local cluster with our arguments until it ends or we are told to stop.
//
// One Ctrl-C comes here twice, from the terminal and from npm, and a `kill` of npm once. The cluster runs in a
// process group of its own, so that it hears only what we pass on, and we pass on a signal once.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { exitCodeOf, root } from './run.mjs';
import { setup, SetupError } from './setup.mjs';

const sameKeystrokeMs = 500;

try {
  await setup();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exit(error.exitCode);
}

const main = path.join(root, 'packages/kvctl/dist/start.js');
const child = spawn(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit', detached: true });

let passedOnAt = -Infinity;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    const now = performance.now();
    if (now - passedOnAt < sameKeystrokeMs) return;
    passedOnAt = now;
    child.kill(signal);
  });
}
process.on('SIGWINCH', () => child.kill('SIGWINCH'));

child.on('error', (error) => {
  console.error(`start: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => process.exit(exitCodeOf(code, signal)));
