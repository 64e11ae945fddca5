// How members are asked how they are: over HTTP, or by a line on a socket; and where programs are.
import { accessSync, constants } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';

const ANSWER_LIMIT_MS = 5_000;

/** The answer, or an error when it is not 200. */
export async function ask(url, options = {}) {
  const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS), ...options });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return text;
}

export async function askJson(url, options) {
  return JSON.parse(await ask(url, options));
}

/** What a server answers to `line`, until it closes the connection or `until` is in what it said. */
export function askLine(port, line, until) {
  return new Promise((resolve, reject) => {
    let said = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(line));
    socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error(`port ${port} does not answer`)));
    socket.on('data', (bytes) => {
      said += bytes;
      if (until !== undefined && said.includes(until)) socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(said));
  });
}

/** The path of a program on PATH; undefined when there is none. */
export function programPath(name) {
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .map((directory) => path.join(directory, name))
    .find(isExecutable);
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return path.isAbsolute(file);
  } catch {
    return false;
  }
}
