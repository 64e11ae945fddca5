/**
 * Reads HOST:PORT and the list ID=HOST:PORT,… of --peers. Pure; resolves no name. Errors say which part is wrong.
 */
import { ADDRESS_BYTES_MAX, MEMBERS_MAX } from '@kvd/protocol';

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

/**
 * `1=127.0.0.1:15000,2=[::1]:15000`, sorted by id.
 * @throws Error naming the entry that is malformed or given twice.
 */
export function parsePeers(text: string): PeerAddress[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > MEMBERS_MAX)
    throw new Error(`${parts.length} members; at most ${MEMBERS_MAX} are possible`);
  const peers: PeerAddress[] = [];
  for (const part of parts) {
    const match = /^(\d{1,10})=(.+)$/.exec(part);
    const id = Number(match?.[1] ?? 0);
    if (match === null || id < 1 || id > REPLICA_ID_MAX) {
      throw new Error(`"${part}" is no ID=HOST:PORT with a positive number as ID`);
    }
    const address = formatAddress(parseAddress(match[2] ?? ''));
    const twin = peers.find((peer) => peer.id === id || peer.address === address);
    if (twin?.id === id) throw new Error(`replica ${id} is listed twice`);
    if (twin !== undefined) throw new Error(`replicas ${twin.id} and ${id} have the same address ${address}`);
    peers.push({ id, address });
  }
  return peers.sort((a, b) => a.id - b.id);
}
