// A lock between processes on one machine that survives the death of its holder.
//
// The lock is the highest numbered file in a directory. Taking it means creating the next number, which
// only one can do; giving it up means marking the own file as free. The highest file is never removed, so
// nobody can mistake an old state for the present one.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const staleMs = 60_000;

/** Runs `action` while no other process runs one under the same directory. */
export async function withLock(directory, action, onWait = () => {}) {
  fs.mkdirSync(directory, { recursive: true });
  const mine = await acquire(directory, onWait);
  const heartbeat = setInterval(() => touch(mine), staleMs / 10);
  try {
    return await action();
  } finally {
    clearInterval(heartbeat);
    fs.writeFileSync(mine, 'free');
  }
}

async function acquire(directory, onWait) {
  const ticket = path.join(directory, `ticket-${process.pid}`);
  fs.writeFileSync(ticket, String(process.pid));
  try {
    for (let round = 0; ; round++) {
      const highest = numbers(directory).at(-1) ?? 0;
      if (highest === 0 || isFree(path.join(directory, String(highest)))) {
        const mine = path.join(directory, String(highest + 1));
        if (linkExclusively(ticket, mine)) {
          if (numbers(directory).at(-1) === highest + 1) {
            fs.rmSync(ticket);
            fs.writeFileSync(mine, String(process.pid));
            for (const old of numbers(directory)) {
              if (old <= highest) fs.rmSync(path.join(directory, String(old)), { force: true });
            }
            return mine;
          }
          fs.rmSync(mine, { force: true });
        }
        continue;
      }
      if (round === 0) onWait();
      await sleep(100);
    }
  } finally {
    fs.rmSync(ticket, { force: true });
  }
}

function numbers(directory) {
  return fs
    .readdirSync(directory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

function linkExclusively(from, to) {
  try {
    fs.linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isFree(file) {
  try {
    const owner = fs.readFileSync(file, 'utf8');
    if (owner === 'free' || Date.now() - fs.statSync(file).mtimeMs > staleMs) return true;
    process.kill(Number(owner), 0);
    return false;
  } catch (error) {
    // ESRCH: its owner died. ENOENT: a newer holder removed it, look again.
    return error.code === 'ESRCH';
  }
}

function touch(file) {
  const now = new Date();
  fs.utimesSync(file, now, now);
}
