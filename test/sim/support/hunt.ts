/** A test that a bug is found, and a line about how soon. */
import { type Bug, hunt } from '@kvd/sim';
import type { Test } from 'tap';
import { say } from './say.js';

const SEEDS_MAX = 2000;

export function mustBeFound(t: Test, bug: Bug): void {
  t.test(`${bug.name}: ${bug.title}`, { timeout: 600_000 }, async (t) => {
    const began = process.cpuUsage();
    const { seed, seeds, violation } = await hunt(bug, SEEDS_MAX);
    const { user, system } = process.cpuUsage(began);
    const seconds = ((user + system) / 1e6).toFixed(1);
    say(
      `${bug.name.padEnd(26)}${String(seeds).padStart(5)} seeds ${seconds.padStart(6)} s  ${violation?.rule}`,
    );
    t.comment(`${violation?.rule}: ${violation?.message}`);
    t.ok(seed !== null, `found within ${SEEDS_MAX} seeds`);
    t.not(violation?.rule, 'exception', 'by a judge, not because the planted code crashed');
  });
}
