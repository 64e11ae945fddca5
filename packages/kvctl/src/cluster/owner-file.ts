/** Who runs a local cluster in the foreground: at most one `npm start` per directory at a time. */
import path from 'node:path';
import { refused } from '../errors.js';
import { readProcessFile, removeProcessFile, writeProcessFile } from './process-file.js';

/** Take the directory for this process. @throws CliError refused while another foreground start has it */
export function takeOwnership(dir: string): () => void {
  const file = path.join(dir, 'start.pid');
  const owner = readProcessFile(file);
  if (owner !== null && owner.pid !== process.pid) {
    throw refused(`the cluster in ${dir} is already up: npm start runs as process ${owner.pid}`);
  }
  writeProcessFile(file, process.pid);
  return () => removeProcessFile(file);
}
