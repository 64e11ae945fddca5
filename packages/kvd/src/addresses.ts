/**
 * Reads HOST:PORT, the list ID=HOST:PORT,… of --peers, and the list HOST:PORT,… of --join. Pure; resolves no name. Errors
 * say which part is wrong.
 */
import { ADDRESS_BYTES_MAX, MEMBERS_MAX, WITNESS_SUFFIX } from '@kvd/protocol';

export interface HostPort {
  /** A name, an IPv4 address, or an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
}

export interface PeerAddress {
  readonly id: number;
  /** HOST:PORT, an IPv6 host in brackets. */
  readonly address: string;
}

/** A founding member, as --peers lists it. */
export interface Founder extends PeerAddress {
  readonly role: 'voter' | 'witness';
}

export const REPLICA_ID_MAX = 2 ** 31 - 1;
const HOST_NAME = /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/;
const IPV6_IN_BRACKETS = /^\[([0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?)\]$/;

/** @throws Error when `text` is no HOST:PORT; its message starts with the text. */
export function parseAddress(text: string): HostPort {
  const bad = (why: string): Error => new Error(`"${text}" is no HOST:PORT: ${why}`);
  if (Buffer.byteLength(text) > ADDRESS_BYTES_MAX) throw bad(`it is longer than ${ADDRESS_BYTES_MAX} bytes`);
  const colon = text.lastIndexOf(':');
  if (colon < 0 || text.endsWith(']')) throw bad('the port is missing');
  const hostText = text.slice(0, colon);
  const portText = text.slice(colon + 1);
  if (hostText === '') throw bad('the host is missing');
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535) throw bad(`the port must be from 1 to 65535, not "${portText}"`);
  const ipv6 = IPV6_IN_BRACKETS.exec(hostText)?.[1];
  if (ipv6 !== undefined) return { host: ipv6, port };
  if (hostText.includes(':')) throw bad('an IPv6 address goes in brackets, as in [::1]:15000');
  if (!HOST_NAME.test(hostText)) throw bad(`"${hostText}" is no host name`);
  return { host: hostText, port };
}

export function formatAddress({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Of a socket: bound there, it listens everywhere; nobody can connect to it. */
export function isUnspecified({ host }: HostPort): boolean {
  return host === '0.0.0.0' || host === '::';
}

/**
 * `db1:15000,db2:15000`, each once.
 * @throws Error naming the entry that is malformed, or when there are too many.
 */
export function parseAddresses(text: string): string[] {
  const addresses = text.split(',').map((part) => formatAddress(parseAddress(part.trim())));
  if (addresses.length > MEMBERS_MAX)
    throw new Error(`${addresses.length} addresses; at most ${MEMBERS_MAX} are possible`);
  return [...new Set(addresses)];
}

/**
 * `1=127.0.0.1:15000,2=[::1]:15000,3=db3:15000/witness`, sorted by id.
 * @throws Error naming the entry that is malformed or given twice.
 */
export function parsePeers(text: string): Founder[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > MEMBERS_MAX)
    throw new Error(`${parts.length} members; at most ${MEMBERS_MAX} are possible`);
  const peers: Founder[] = [];
  for (const part of parts) {
    const role = part.endsWith(WITNESS_SUFFIX) ? 'witness' : 'voter';
    const named = role === 'witness' ? part.slice(0, -WITNESS_SUFFIX.length) : part;
    const match = /^(\d{1,10})=(.+)$/.exec(named);
    const id = Number(match?.[1] ?? 0);
    if (match === null || id < 1 || id > REPLICA_ID_MAX) {
      throw new Error(`"${part}" is no ID=HOST:PORT with a positive number as ID`);
    }
    const address = formatAddress(parseAddress(match[2] ?? ''));
    const twin = peers.find((peer) => peer.id === id || peer.address === address);
    if (twin?.id === id) throw new Error(`replica ${id} is listed twice`);
    if (twin !== undefined) throw new Error(`replicas ${twin.id} and ${id} have the same address ${address}`);
    peers.push({ id, address, role });
  }
  return peers.sort((a, b) => a.id - b.id);
}

/**
 * `2=127.0.0.1:25001,3=127.0.0.1:25002`, sorted by id.
 * @throws Error naming the entry that is malformed or given twice.
 */
export function parseDial(text: string): { readonly id: number; readonly address: string }[] {
  const replicas = parsePeers(text);
  if (replicas.some(({ role }) => role === 'witness')) throw new Error('only --peers says who is a witness');
  return replicas.map(({ id, address }) => ({ id, address }));
}

/** As --peers takes it. */
export function describePeers(peers: readonly Founder[]): string {
  return peers
    .map(({ id, address, role }) => `${id}=${address}${role === 'witness' ? WITNESS_SUFFIX : ''}`)
    .join(',');
}
