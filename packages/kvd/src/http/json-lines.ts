/**
 * Answers of many lines of JSON, as long as they like: no faster than the client reads, and broken off, not cut short,
 * when something fails in the middle.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { STALLED_ANSWER_MS } from './respond.js';

const WRITE_BYTES = 64 * 1024;

/** What has to be right before the first line is there must have been checked before: the status is 200. */
export async function sendJsonLines(
  request: IncomingMessage,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  lines: AsyncIterable<Iterable<object>>,
): Promise<void> {
  response.writeHead(200, {
    'Content-Type': 'application/x-ndjson',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  });
  if (request.method !== 'HEAD') await writeLines(response, lines);
  response.end();
}

async function writeLines(response: ServerResponse, pages: AsyncIterable<Iterable<object>>): Promise<void> {
  for await (const page of pages) {
    let text = '';
    for (const line of page) {
      text += `${JSON.stringify(line)}\n`;
      if (text.length >= WRITE_BYTES) {
        if (!response.write(text)) await drained(response);
        text = '';
      }
      if (response.destroyed) return;
    }
    if (text !== '' && !response.write(text)) await drained(response);
    if (response.destroyed) return;
  }
}

/** Until the client has read what waits, is gone, or has read nothing for too long and loses its connection. */
export function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      clearTimeout(timer);
      response.off('drain', settle).off('close', settle);
      resolve();
    };
    const timer = setTimeout(() => response.destroy(), STALLED_ANSWER_MS);
    response.on('drain', settle).on('close', settle);
    if (response.destroyed) settle();
  });
}
