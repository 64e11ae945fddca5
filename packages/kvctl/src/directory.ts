/** Directories that kvctl makes: the data of a local cluster, the shell's history. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { reasonOf, refused } from './errors.js';

/** With its parents. @throws CliError refused, naming the one that cannot be made */
export function makeDirectory(directory: string): void {
  if (existsSync(directory)) return checkDirectory(directory);
  makeDirectory(path.dirname(directory));
  try {
    // Not recursive: where a parent takes no folders (procfs), Node.js 20 would try for ever; and the reason is the true one.
    mkdirSync(directory);
  } catch (error) {
    // Another process may have made it since.
    if (!existsSync(directory)) throw refused(`cannot make the directory ${directory}: ${reasonOf(error)}`);
    checkDirectory(directory);
  }
}

function checkDirectory(found: string): void {
  if (!statSync(found).isDirectory()) throw refused(`${found} is a file, and a directory is needed there`);
}
