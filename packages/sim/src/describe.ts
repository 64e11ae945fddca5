/** Messages as words, for the trace. */
import type { Ballot, LogEntry, Value } from '@kvd/paxos';
import type { PeerMessage, Response, WatchMessage } from '@kvd/protocol';

export function describeMessage(message: PeerMessage): string {
  switch (message.type) {
    case 'probe':
      return `probe ${ballot(message.ballot)}`;
    case 'probe-answer':
      return `probe ${message.granted ? 'granted' : 'refused'}, promised ${ballot(message.promised)}`;
    case 'prepare':
      return `prepare ${ballot(message.ballot)} from slot ${message.fromSlot}`;
    case 'promise':
      return `promise ${ballot(message.ballot)} from slot ${message.fromSlot}, knows through ${message.chosenThrough}, accepted [${message.accepted.map(entry).join(', ')}]${message.throughSlot === null ? '' : `, more after slot ${message.throughSlot}`}`;
    case 'accept':
      return `accept ${ballot(message.ballot)} slot ${message.slot} ${value(message.value)}, chosen through ${message.chosenThrough}`;
    case 'accepted':
      return `accepted ${ballot(message.ballot)} slots ${message.slots.join(' ')}`;
    case 'nack':
      return `nack ${ballot(message.refused)}, promised ${ballot(message.promised)}`;
    case 'heartbeat':
    case 'heartbeat-answer':
      return `${message.type} ${ballot(message.ballot)} round ${message.round}, chosen through ${message.chosenThrough}`;
    case 'fetch':
      return `fetch slots ${message.fromSlot} to ${message.throughSlot}`;
    case 'chosen':
      return `chosen [${message.entries.map(({ slot, value: v }) => `${slot} ${value(v)}`).join(', ')}], knows through ${message.chosenThrough}`;
    case 'cut':
      return `cut through ${message.cutThrough}`;
    case 'take-over':
      return `take over from ${ballot(message.ballot)}`;
    case 'rolled-back':
      return `rolled back, heard ${message.heard}`;
    case 'forward':
      return `forward ${message.forwardId} ${message.request.type}`;
    case 'forward-reply':
      return `forward-reply ${message.forwardId} ${message.response.type}`;
    case 'snapshot-fetch':
      return `snapshot-fetch ${message.snapshotId} chunk ${message.sequence}`;
    case 'snapshot-chunk':
      return `snapshot ${message.snapshotId} at slot ${message.slot}, chunk ${message.sequence}${message.last ? ', the last' : ''}`;
    case 'snapshot-gone':
      return `snapshot ${message.snapshotId} is gone`;
    case 'report':
      return `report durable ${message.durableThrough} held ${message.heldThrough} hears ${message.hears.map(({ replicaId }) => replicaId).join(' ')}`;
    case 'dismissed':
      return `dismissed by the configuration of slot ${message.slot}`;
  }
}

function ballot({ counter, replicaId }: Ballot): string {
  return `${counter}.${replicaId}`;
}

function entry({ slot, ballot: at, value: v, chosen }: LogEntry): string {
  return `${slot} ${chosen ? 'chosen' : `at ${ballot(at)}`} ${value(v)}`;
}

function value(v: Value): string {
  return v.type === 'batch' ? `batch of ${v.bytes.length} B` : v.type;
}

export function describeResponse(response: Response): string {
  return asJson(response).slice(0, 200);
}

export function describeWatchMessage(message: WatchMessage): string {
  return asJson(message).slice(0, 300);
}

function asJson(thing: unknown): string {
  return JSON.stringify(thing, (_, part: unknown) => {
    if (typeof part === 'bigint') return Number(part);
    const bytes = part as { readonly type?: unknown; readonly data?: unknown } | null;
    return bytes?.type === 'Buffer' ? Buffer.from(bytes.data as number[]).toString('latin1') : part;
  });
}
