// What the figures were measured on.
import { readFileSync } from 'node:fs';
import os from 'node:os';

export function describeMachine(directory) {
  const [cpu] = os.cpus();
  return {
    cpu: cpu?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.versions.node,
    filesystem: filesystemOf(directory),
    loadBefore: os.loadavg()[0],
  };
}

/** A sync on a tmpfs costs nothing, so it has to be said where the directories were. */
function filesystemOf(directory) {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, at]) => at !== undefined && `${directory}/`.startsWith(at === '/' ? '/' : `${at}/`))
    .sort(([, a], [, b]) => b.length - a.length);
  return mounts[0]?.[2] ?? 'unknown';
}
