/**
 * cluster.json: the processes of a local cluster. Written when it is founded, and when one is added to join it. Who of
 * them is a member is not said here: that is a value of the cluster's own log.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeDirectory } from '../directory.js';
import { reasonOf, refused, usage } from '../errors.js';

/** A process that was added to a cluster which others founded. */
export interface Joined {
  readonly id: number;
  readonly witness: boolean;
}

export interface Layout {
  readonly version: 1;
  /** Founding members, 1 and so on. */
  readonly replicas: number;
  /** In the order in which they were added. */
  readonly joined: readonly Joined[];
  /** Of replica 1; the others follow, by their numbers. */
  readonly port: number;
  /** More flags for every kvd. */
  readonly flags: readonly string[];
  /** Was the sample data loaded whole? */
  readonly sampleLoaded: boolean;
}

export const REPLICAS_MAX = 9;
export const HOST = '127.0.0.1';

/** What a user may ask for; what is left out is as it was, or the default. */
export interface LayoutWish {
  readonly replicas?: number | undefined;
  readonly port?: number | undefined;
  readonly flags?: readonly string[] | undefined;
}

/** The layout in `dir`, null when there is no cluster. @throws CliError on a damaged cluster.json */
export function readLayout(dir: string): Layout | null {
  const file = path.join(dir, 'cluster.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw refused(`cannot read ${file}: ${reasonOf(error)}`);
  }
  const layout = parseLayout(text);
  if (layout === null) throw refused(`${file} is damaged: it is no layout of a cluster`);
  return layout;
}

/** Written whole or not at all. @throws CliError refused where nothing can be written */
export function writeLayout(dir: string, layout: Layout): void {
  makeDirectory(dir);
  const file = path.join(dir, 'cluster.json');
  try {
    writeFileSync(`${file}.new`, `${JSON.stringify(layout, null, 2)}\n`);
    renameSync(`${file}.new`, file);
  } catch (error) {
    throw refused(`cannot write ${file}: ${reasonOf(error)}`);
  }
}

/** The layout to start with. @throws CliError usage on a wish that the present one does not allow */
export function decideLayout(dir: string, present: Layout | null, wish: LayoutWish): Layout {
  if (present !== null && wish.replicas !== undefined && wish.replicas !== present.replicas) {
    throw usage(
      `${dir} holds a cluster of ${present.replicas} replicas, not ${wish.replicas}: leave --replicas out, ` +
        'or give another --dir, or remove that one',
    );
  }
  const replicas = present?.replicas ?? wish.replicas ?? 5;
  const port = wish.port ?? present?.port ?? 15_000;
  if (!Number.isSafeInteger(replicas) || replicas < 1 || replicas > REPLICAS_MAX) {
    throw usage(`--replicas: ${replicas} is not a number from 1 to ${REPLICAS_MAX}`);
  }
  if (!Number.isSafeInteger(port) || port < 1 || port + replicas - 1 > 65_535) {
    throw usage(`--port: ${port} is no port with room for ${replicas} replicas`);
  }
  const flags = wish.flags ?? present?.flags ?? [];
  const joined = present?.joined ?? [];
  return { version: 1, replicas, joined, port, flags, sampleLoaded: present?.sampleLoaded ?? false };
}

/** One more, with the next number, which no other ever had. @throws CliError refused when there are too many */
export function addJoined(layout: Layout, witness: boolean): Joined {
  const id = 1 + Math.max(layout.replicas, ...layout.joined.map((joined) => joined.id));
  if (layout.port + id - 1 > 65_535) throw refused(`there is no port for replica ${id}`);
  return { id, witness };
}

function parseLayout(text: string): Layout | null {
  try {
    // Clusters of earlier versions have none that joined.
    const { version, replicas, joined = [], port, flags, sampleLoaded } = JSON.parse(text);
    const ok =
      version === 1 &&
      [replicas, port].every(Number.isSafeInteger) &&
      Array.isArray(joined) &&
      joined.every(isJoined) &&
      Array.isArray(flags) &&
      flags.every((flag: unknown) => typeof flag === 'string');
    return ok ? { version, replicas, joined, port, flags, sampleLoaded: sampleLoaded === true } : null;
  } catch {
    return null;
  }
}

function isJoined(joined: unknown): joined is Joined {
  if (typeof joined !== 'object' || joined === null) return false;
  return (
    Number.isSafeInteger(Reflect.get(joined, 'id')) && typeof Reflect.get(joined, 'witness') === 'boolean'
  );
}
