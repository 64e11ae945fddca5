/**
 * GET /v1/watch of one replica, read as anybody with an HTTP client would: when the stream ends, the next replica is asked
 * to go on after the last id. Events that came without an id belong to a revision that was cut off, and come again.
 */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseObject } from '../../http.js';
import { Sighting, type SeenEvent } from './sighting.js';

const RETRY_PAUSE_MS = 50;

export class StreamWatcher {
  readonly name: string;
  readonly sighting = new Sighting();
  failure: string | null = null;
  private attempts = 0;
  private readonly stop = new AbortController();
  /** Of the stream that is open. */
  private stream = new AbortController();
  /** Until then no other is opened; null: at once. */
  private cutOff: { readonly over: Promise<void>; readonly end: () => void } | null = null;
  private readonly done: Promise<void>;
  private lastId = 0;
  /** Events above lastId. */
  private pending: SeenEvent[] = [];

  /** Begins at the replica at place `home`. */
  constructor(
    private readonly endpoints: readonly string[],
    private readonly home: number,
  ) {
    this.name = `the watcher that began at replica ${home + 1}`;
    this.done = this.run();
  }

  /** Streams that were taken after the first. */
  get moves(): number {
    return Math.max(0, this.attempts - 1);
  }

  /** End the stream, and open none until goOn(). */
  cut(): void {
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.cutOff ??= { over, end };
    this.stream.abort();
  }

  /** At the next replica. */
  goOn(): void {
    this.cutOff?.end();
    this.cutOff = null;
  }

  async close(): Promise<void> {
    this.stop.abort();
    this.goOn();
    await this.done;
  }

  private async run(): Promise<void> {
    const { signal } = this.stop;
    for (let at = this.home; !signal.aborted && this.failure === null; at++) {
      if (this.cutOff !== null) await this.cutOff.over;
      const address = this.endpoints[at % this.endpoints.length] ?? '';
      try {
        await this.follow(address);
      } catch {
        // The replica is gone, or will not: the next one may.
      }
      this.pending = [];
      if (this.cutOff === null && !signal.aborted) await sleep(RETRY_PAUSE_MS);
    }
  }

  /** Resolves or rejects when the stream is over. */
  private follow(address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.stream = new AbortController();
      const signal = AbortSignal.any([this.stop.signal, this.stream.signal]);
      const headers = { 'Last-Event-ID': String(this.lastId) };
      const options = { agent: false, headers, signal } as const;
      const request = http.get(`http://${address}/v1/watch?prefix=`, options, (response) => {
        if (response.statusCode === 200) this.attempts += 1;
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          const end = text.lastIndexOf('\n\n');
          if (end < 0) return;
          for (const block of text.slice(0, end).split('\n\n')) this.take(block);
          text = text.slice(end + 2);
        });
        response.on('error', reject);
        response.on('close', resolve);
        if (response.statusCode !== 200) response.on('end', () => this.noteRefusal(text));
      });
      request.on('error', reject);
    });
  }

  private take(block: string): void {
    let id = 0;
    let data = '';
    let type = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) id = Number(line.slice(4));
      else if (line.startsWith('data: ')) data = line.slice(6);
      else if (line.startsWith('event: ')) type = line.slice(7);
    }
    if (type === 'ended') {
      this.noteRefusal(data);
      return;
    }
    if (id > 0) this.lastId = id;
    // A mark: it may come between two parts of a revision.
    if (data === '') return;
    this.pending.push(eventOf(data));
    if (id === 0) return;
    for (const event of this.pending) this.sighting.add(event);
    this.pending = [];
  }

  /** Nothing is compacted in a drill; any other reason is of the replica and of the moment. */
  private noteRefusal(body: string): void {
    if (body.includes('KVD_COMPACTED') || body.includes('KVD_BAD_REQUEST')) this.failure = body.trim();
  }
}

function eventOf(json: string): SeenEvent {
  const fields = parseObject(json);
  const { type, key, value, createRevision = 0, modRevision, version = 0 } = fields;
  return {
    type: type === 'put' ? 'put' : 'delete',
    key: String(key),
    value: typeof value === 'string' ? value : '',
    createRevision: Number(createRevision),
    modRevision: Number(modRevision),
    version: Number(version),
  };
}
