/**
 * GET /v1/watch: what happens to the keys of a range, as server-sent events, for as long as the client likes. An event has
 * as data the line that `kvctl watch` prints. The id is the revision through which everything was sent, so that whoever
 * comes back with Last-Event-ID misses nothing: of several events of a revision only the last one carries it, and after
 * a break in the middle all of that revision come again.
 *
 * What the replica refuses before anything was sent is an ordinary error. What ends later is an event of the type `ended`.
 */
import type { ServerResponse } from 'node:http';
import {
  eventJson,
  KEY_BYTES_MAX,
  KvdError,
  type KvEvent,
  type Revision,
  type WatchMessage,
  type WatchRequest,
} from '@kvd/protocol';
import type { ReplicaApi, WatchSink } from '@kvd/replica';
import type { Call } from './call.js';
import { lastEventIdOf, Query } from './query.js';
import { dropWhenStalled, errorAnswer, jsonAnswer, sendAnswer } from './respond.js';

/** Each holds one of the requests that can be at once, and most of those are to be left to others. */
const STREAMS_MAX = 512;
const KNOWN = ['key', 'prefix', 'from', 'to', 'from_revision', 'previous'];
/** A stream is a sink of its own and has one watch. */
const WATCH_ID = 1;

type EventsMessage = Extract<WatchMessage, { type: 'events' }>;
type ProgressMessage = Extract<WatchMessage, { type: 'progress' }>;
type EndedMessage = Extract<WatchMessage, { type: 'ended' }>;

export class WatchStreams {
  readonly #replica: Pick<ReplicaApi, 'watch' | 'forgetWatches'>;
  readonly #streamsMax: number;
  #open = 0;

  constructor(replica: Pick<ReplicaApi, 'watch' | 'forgetWatches'>, streamsMax = STREAMS_MAX) {
    this.#replica = replica;
    this.#streamsMax = streamsMax;
  }

  /** Answers until either end has enough. */
  serve(call: Call, rawQuery: string): void {
    const request = readWatch(call, rawQuery);
    if (this.#open >= this.#streamsMax)
      throw new KvdError('KVD_OVERLOADED', `more than ${this.#streamsMax} watches over HTTP at once`);
    const stream = new WatchStream(call);
    this.#open += 1;
    call.response.once('close', () => {
      this.#open -= 1;
      this.#replica.forgetWatches(stream);
    });
    this.#replica.watch(stream, WATCH_ID, request);
  }
}

class WatchStream implements WatchSink {
  readonly #call: Call;
  readonly #response: ServerResponse;

  constructor(call: Call) {
    this.#call = call;
    this.#response = call.response;
  }

  /** Of the whole connection: response and socket. */
  get bufferedBytes(): number {
    return this.#response.writableLength;
  }

  tell(_watchId: number, message: WatchMessage): void {
    if (this.#response.destroyed) return;
    switch (message.type) {
      case 'created':
        this.#response.writeHead(200, {
          'Content-Type': 'text/event-stream',
          'Cache-Control': 'no-store',
          'X-Content-Type-Options': 'nosniff',
          'Kvd-Revision': String(message.revision),
        });
        this.#response.write(
          mark(`all that follows is above revision ${message.revision}`, message.revision),
        );
        return;
      case 'events':
        this.#response.write(eventsText(message));
        return;
      case 'progress':
        this.#response.write(mark(progressText(message), message.revision));
        return;
      case 'ended':
        this.#end(message);
        return;
    }
  }

  #end({ code, message, resumeRevision }: EndedMessage): void {
    const ending = { code, message, resumeRevision };
    if (!this.#response.headersSent) {
      const { status, headers } = errorAnswer(code, message);
      sendAnswer(this.#call.request, this.#response, jsonAnswer(status, ending, headers));
      return;
    }
    this.#response.end(`event: ended\ndata: ${JSON.stringify(ending)}\n\n`);
    dropWhenStalled(this.#response);
  }
}

/** A comment for people, and an id for Last-Event-ID: no event comes of it. */
function mark(text: string, revision: Revision): string {
  return `: ${text}\nid: ${revision}\n\n`;
}

function progressText({ revision, behind }: ProgressMessage): string {
  const sent = `all through revision ${revision} was sent`;
  return behind ? `${sent}, and more waits until this is read` : sent;
}

function eventsText({ events, more }: EventsMessage): string {
  let text = '';
  for (const [i, event] of events.entries()) {
    const revision = revisionOf(event);
    const next = events[i + 1];
    const isLast = next === undefined ? !more : revisionOf(next) !== revision;
    text += `${isLast ? `id: ${revision}\n` : ''}data: ${JSON.stringify(eventJson(event))}\n\n`;
  }
  return text;
}

function revisionOf(event: KvEvent): Revision {
  return event.type === 'put' ? event.entry.modRevision : event.modRevision;
}

function readWatch({ request }: Call, rawQuery: string): WatchRequest {
  const query = new Query(rawQuery, KNOWN);
  const range = query.keyOrRange();
  if (range.from.length > KEY_BYTES_MAX) {
    const message = `the range begins with ${range.from.length} bytes; a key has at most ${KEY_BYTES_MAX}`;
    throw new KvdError('KVD_TOO_LARGE', message);
  }
  const asked = query.wholeNumber('from_revision', 1, Number.MAX_SAFE_INTEGER) ?? 0;
  const previous = query.flag('previous');
  // Who comes back asks what it asked before, and says here how far it got.
  const lastEventId = lastEventIdOf(request);
  return { ...range, fromRevision: lastEventId === undefined ? asked : lastEventId + 1, previous };
}
