/**
 * How many connections may be open at once. What the process may open besides belongs to the stores: a log that cannot open
 * its next file has failed, and with it the replica.
 */
import { readFileSync } from 'node:fs';
import { DEFAULT_HTTP_LIMITS } from './http-server.js';

/** LevelDB keeps up to 1,000 tables open in each of log, state and values; the rest is for what it writes, peers and the process. */
const STORE_FILES = 3_200;

/** How many files the process may have open; Infinity where the system does not say. */
export function openFilesMax(limits = '/proc/self/limits'): number {
  try {
    const [, max = ''] = /^Max open files +(\d+)/m.exec(readFileSync(limits, 'utf8')) ?? [];
    return max === '' ? Number.POSITIVE_INFINITY : Number(max);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Where that is little, half of it is for the stores. */
export function connectionsFor(filesMax: number): number {
  const forStores = Math.min(STORE_FILES, Math.ceil(filesMax / 2));
  return Math.min(DEFAULT_HTTP_LIMITS.connections, filesMax - forStores);
}
